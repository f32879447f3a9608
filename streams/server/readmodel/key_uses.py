"""Uses of Idempotency-Keys, from the event logs: so they are known at every server, and after a restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from streams.receipt import Receipt

SOURCE = "retold/server"
"""The source of events that are published over HTTP without one of their own, as all with an Idempotency-Key are."""


class KeyUse(NamedTuple):
    """One use of a key: where the event is, and the digest of the request."""

    receipt: Receipt
    digest: bytes


def digest_of(content: bytes, version: int | None) -> bytes:
    """16 bytes that are equal for the same event (its canonical bytes) and the same expected version."""
    return blake2b(content + f"@{version}".encode(), digest_size=16).digest()
