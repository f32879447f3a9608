"""Ids that are derived, so that handling an event again gives the same ids (rules 13, 15, 17 and 23).

All are uuid5 over a JSON array, so that no two lists of parts can spell the same name.
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID, uuid5

import msgspec

RETOLD = UUID("6f2a3c1e-8a4b-5d0f-9b1c-2e7d4c5a6b70")


def _derive(*parts: object) -> str:
    return str(uuid5(RETOLD, msgspec.json.encode(parts).decode()))


def emitted_id(cause: str, event_type: str, key: str, ordinal: int, revision: str = "") -> str:
    """`ordinal` counts the emissions of one cause with equal type and key; `revision` is the id of a correction."""
    return _derive(cause, event_type, key, ordinal, revision or 0)


def answer_id(cause: str) -> str:
    """A gateway's answer, from its request alone: two owners cannot both be believed."""
    return _derive("answer", cause)


def position_id(topic_id: str, partition: int, offset: int) -> str:
    """An event whose publisher gave no id. The topic's id, not its name: a topic made again starts at offset 0 too."""
    return _derive("position", topic_id, partition, offset)


def content_id(event_type: str, data: bytes) -> str:
    """A row of a file, from its canonical bytes: publishing the file again gives counted duplicates."""
    return _derive("content", event_type, data.hex())


def request_id(principal: str, route: str, key: str) -> str:
    """An event published over HTTP with an `Idempotency-Key`: who sent it, where to, and the key."""
    return _derive("request", principal, route, key)


def fingerprint_of(source: str, event_id: str) -> bytes:
    """16 bytes for the pair that makes a CloudEvent unique."""
    return blake2b(f"{source}\0{event_id}".encode(), digest_size=16).digest()
