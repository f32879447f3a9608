"""Derived ids: handling an event again gives the same ids (rules 13, 15, 17 and 23).

They are derived from an event's *reference* (`Event.reference`), never from its id alone: two publishers may both number
their events.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Any

import msgspec

from streams.event import NAMESPACE, OURS, derived_digest, derived_id, is_unique

SHORT = blake2b(digest_size=8)
"""To copy one takes less time than to make one."""
_signed = Struct(">q").unpack
_second_half = Struct(">8xQ").unpack_from
DERIVED_BITS = 2**60 - 1
"""Those of the second half that no variant of a UUID takes the place of."""
SOURCES = 1_024
"""Sources that are remembered."""
_seeds: dict[str, Any] = {}


def emitted_id(cause: str, event_type: str, key: str, ordinal: int, revision: str = "") -> str:
    """`cause` is a reference, `ordinal` counts its emissions of equal type and key, `revision` is a correction's id."""
    return derived_id(cause, event_type, key, ordinal, revision or 0)


def answer_id(cause: str) -> str:
    """The id of a gateway's answer, from its request's reference alone: of two owners' answers only one counts."""
    return derived_id("answer", cause)


def position_id(topic_id: str, partition: int, offset: int) -> str:
    """The id of an event whose publisher gave none. By the topic's id, not its name: a recreated topic starts at offset 0 too."""
    return derived_id("position", topic_id, partition, offset)


def content_id(event_type: str, data: bytes, time: int | None, occurrence: int) -> str:
    """The id of a row of a file: publishing the file again gives duplicates, and equal rows are separate events.

    `data` is its canonical bytes; `time` is the row's (µs since 1970), never the clock's; `occurrence` counts, from 1, the
    rows of the file that are equal in all of these.
    """
    return derived_id("content", event_type, data.hex(), time, occurrence)


def content_digest(event_type: str, data: bytes, time: int | None) -> bytes:
    """16 bytes that are equal exactly if all three are: `id_of_digest` makes of them the `content_id` of a first occurrence."""
    return derived_digest("content", event_type, data.hex(), time, 1)


def request_id(principal: str, route: str, key: str) -> str:
    """The id of an event published over HTTP with an `Idempotency-Key`, from the sender, the route and the key."""
    return derived_id("request", principal, route, key)


def fingerprint_of(source: str, event_id: str) -> bytes:
    """Bytes that are equal exactly if the references are; cheaper than a reference, since every event passes here.

    Short ones are the name itself, which no hash computes: of 17 to 80 bytes, where a hash has 16.
    """
    foreign = source and not source.startswith(OURS)  # as most are; its ids are never unique
    name = (f"{len(source)} {source}{event_id}" if foreign or not is_unique(source, event_id) else event_id).encode()
    return name if 16 < len(name) <= 80 else blake2b(name, digest_size=16).digest()


def seed_of(source: str) -> bytes:
    """What the fingerprint of a short id begins with; empty for a source of retold's own, and for none."""
    return f"{len(source)} {source}".encode() if source and not source.startswith(OURS) else b""


def timer_number(reference: str) -> int:
    """What names a timer's event among those handled at one position of an inbox, where others have their offset: below 0."""
    return -int.from_bytes(blake2b(reference.encode(), digest_size=16).digest()[:7]) - 1


def short_fingerprint(source: str, event_id: str) -> int:
    """64 bits of an event's reference, signed: what a database finds fast. Two references may share them, but nobody can choose so.

    Of an id that is a reference they are those of a hash; of a reference that is derived, 60 of its own bits, without the
    reference being made: each record that a server reads passes here.
    """
    if is_unique(source, event_id):
        return _hashed(event_id)
    hashed = (_seeds.get(source) or _seed(source)).copy()
    hashed.update(msgspec.json.encode(event_id) + b"]")
    found: int = _second_half(hashed.digest())[0]
    return found & DERIVED_BITS


def short_fingerprints(reference: str) -> tuple[int, int]:
    """The two that an event of this reference may have: one if it is its id, another one if it was derived."""
    hashed = _hashed(reference)
    return hashed, int(reference[20:23] + reference[24:], 16) if is_unique("", reference) else hashed


def _hashed(reference: str) -> int:
    hashed = SHORT.copy()
    hashed.update(reference.encode())
    found: int = _signed(hashed.digest())[0]
    return found


def _seed(source: str) -> Any:
    """The hash of a reference's beginning, for all ids of a source."""
    if len(_seeds) >= SOURCES:
        _seeds.clear()
    found = _seeds[source] = NAMESPACE.copy()
    found.update(msgspec.json.encode(["event", source])[:-1] + b",")
    return found
