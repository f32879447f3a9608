"""An event as its handler meets it, and what makes it unique."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha1
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from streams.data import EventData

D_co = TypeVar("D_co", bound=EventData, covariant=True)

RETOLD = UUID("6f2a3c1e-8a4b-5d0f-9b1c-2e7d4c5a6b70")
OURS = "retold/"
"""How the sources begin that retold itself writes."""
VARIANTS = "89ab"
"""The digits by which a UUID says that it is laid out as RFC 9562 has it."""

_uuid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


class Event(msgspec.Struct, Generic[D_co], frozen=True):
    """`time` is when it happened (valid time, with a zone); `cause` is the id of the event whose handling emitted this one.

    `correlation` is the id of the root event of the whole chain (its own id for a root event); `source` is who
    published it.
    """

    data: D_co
    id: str
    time: datetime
    cause: str | None = None
    correlation: str | None = None
    source: str = ""

    @property
    def key(self) -> str:
        return self.data.key

    @property
    def reference(self) -> str:
        """A UUID that no other event has, whoever published it and however they number theirs: an idempotency key."""
        return reference_of(self.source, self.id)


def is_unique(source: str, event_id: str) -> bool:
    """Whether the id alone names the event: a UUID in lower case, from a source of ours or from none.

    Other publishers' UUIDs may be derived from their own keys, and then two of them may have derived the same one.
    """
    return (not source or source.startswith(OURS)) and _uuid(event_id) is not None


def reference_of(source: str, event_id: str) -> str:
    """The id where it is unique, else a UUID derived from source and id."""
    return event_id if is_unique(source, event_id) else derived_id("event", source, event_id)


def derived_id(*parts: object) -> str:
    """A uuid5 over a JSON array, so that no two lists of parts can spell the same name.

    Every event passes here a few times: this takes half the time of `str(uuid.uuid5(...))`, and gives the same.
    """
    digits = sha1(RETOLD.bytes + msgspec.json.encode(parts), usedforsecurity=False).hexdigest()
    variant = VARIANTS[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
