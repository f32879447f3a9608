"""Ids that are derived, so that handling an event again gives the same ids (rules 13, 15, 17 and 23).

What follows from an event is derived from its *reference* (`Event.reference`), never from its id alone: two publishers may
both number their events.
"""

from __future__ import annotations

from hashlib import blake2b

from streams.event import derived_id, is_unique


def emitted_id(cause: str, event_type: str, key: str, ordinal: int, revision: str = "") -> str:
    """`cause` is a reference, `ordinal` counts its emissions of equal type and key, `revision` is a correction's id."""
    return derived_id(cause, event_type, key, ordinal, revision or 0)


def answer_id(cause: str) -> str:
    """A gateway's answer, from its request's reference alone: two owners cannot both be believed."""
    return derived_id("answer", cause)


def position_id(topic_id: str, partition: int, offset: int) -> str:
    """An event whose publisher gave no id. The topic's id, not its name: a topic made again starts at offset 0 too."""
    return derived_id("position", topic_id, partition, offset)


def content_id(event_type: str, data: bytes, time: int | None, occurrence: int) -> str:
    """A row of a file: publishing the file again gives counted duplicates, and what happened twice is two events.

    `data` are its canonical bytes, `time` is the one that it gives (µs since 1970), never the clock's; `occurrence` says
    which it is, from 1, of the rows of the file that are equal in all these.
    """
    return derived_id("content", event_type, data.hex(), time, occurrence)


def request_id(principal: str, route: str, key: str) -> str:
    """An event published over HTTP with an `Idempotency-Key`: who sent it, where to, and the key."""
    return derived_id("request", principal, route, key)


def fingerprint_of(source: str, event_id: str) -> bytes:
    """16 bytes that are equal exactly where the references are; every event passes here, and this is what costs less."""
    name = event_id if is_unique(source, event_id) else f"{len(source)} {source}{event_id}"
    return blake2b(name.encode(), digest_size=16).digest()
