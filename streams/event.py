"""An event as its handler gets it, and its identity."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from streams.data import EventData

D_co = TypeVar("D_co", bound=EventData, covariant=True)

RETOLD = UUID("6f2a3c1e-8a4b-5d0f-9b1c-2e7d4c5a6b70")
OURS = "retold/"
"""The prefix of the sources that retold itself writes."""
NAMESPACE = sha1(RETOLD.bytes, usedforsecurity=False)
VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The variant digits of a UUID of RFC 9562, by the digits that they take the place of."""
REFERENCES = 4096
"""How many are cached: the events that follow from one come soon, and an id may take a kilobyte."""

_encoded = msgspec.json.Encoder().encode
is_uuid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
"""Whether a text is a UUID in lower case."""


class Event(msgspec.Struct, Generic[D_co], frozen=True):
    """An event as its handler, its gateway or a fold gets it: the data, and the attributes of its envelope.

    Attributes:
        data: The event's data, an instance of its generated class.
        id: The event's id. Two events of one source under one id are one event: the second is a duplicate.
        time: When it happened, with a zone. Decide by this time; a handler has no clock.
        cause: The id of the event whose handling emitted this one; None for an event that was published.
        correlation: The id of the first event of the chain; an event that was published begins one, under its own id.
        source: Who published it; for an emitted event `retold/<application>/<namespace>`.

    """

    data: D_co
    id: str
    time: datetime
    cause: str | None = None
    correlation: str | None = None
    source: str = ""

    @property
    def key(self) -> str:
        """The key of the entity that it is about."""
        return self.data.key

    @property
    def reference(self) -> str:
        """The idempotency key: a UUID that no other event has, however publishers choose their ids.

        It is the same each time that the event is handled or its gateway is called.
        """
        return reference_of(self.source, self.id)


def is_workers(source: str) -> bool:
    """Whether a worker writes this source: `retold/<application>/<namespace>`, in what a handler or a gateway leads to."""
    return source.startswith(OURS) and "/" in source[len(OURS) :]


def is_ours(source: str) -> bool:
    """Whether it is a source of retold's, or none: then a UUID identifies its event alone."""
    return not source or source.startswith(OURS)


def is_unique(source: str, event_id: str) -> bool:
    """Whether the id alone identifies the event: a UUID in lower case, from a source of retold's or from none.

    Other publishers may derive UUIDs from their own keys, and then two of them may derive the same one.
    """
    return is_ours(source) and is_uuid(event_id) is not None


def reference_of(source: str, event_id: str) -> str:
    """The id where it is unique, else a UUID derived from source and id."""
    return event_id if is_unique(source, event_id) else _reference_of(source, event_id)


@lru_cache(REFERENCES)
def _reference_of(source: str, event_id: str) -> str:
    """Cached: each event that follows from one needs the reference of its cause."""
    return derived_id("event", source, event_id)


def derived_id(*parts: object) -> str:
    """A uuid5 over a JSON array, so that different lists of parts never give the same name.

    It is called a few times for each event, so it takes half the time of `str(uuid.uuid5(...))`, with the same result.
    """
    hashed = NAMESPACE.copy()
    hashed.update(_encoded(parts))
    digits = hashed.hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"


def derived_digest(*parts: object) -> bytes:
    """The 16 bytes of which `id_of_digest` makes what `derived_id` gives."""
    hashed = NAMESPACE.copy()
    hashed.update(_encoded(parts))
    return hashed.digest()[:16]


def id_of_digest(digest: bytes) -> str:
    digits = digest.hex()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"
