"""Uses of Idempotency-Keys, from the event logs: so they are known at every server, and after a restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from streams.receipt import Receipt

SOURCE = "retold/server"
"""The source of events that are published over HTTP without one of their own, as all with an Idempotency-Key are."""
KEYS = 100_000


class KeyUse(NamedTuple):
    """One use of a key: where the event is, and the digest of the request."""

    receipt: Receipt
    digest: bytes


def digest_of(content: bytes, version: int | None) -> bytes:
    """16 bytes that are equal for the same event (its canonical bytes) and the same expected version."""
    return blake2b(content + f"@{version}".encode(), digest_size=16).digest()


def has_key(source: str, event_id: str) -> bool:
    """Whether an event was published with a key: then its id is derived, a UUID of version 5. Random ones are of version 4.

    So events without a key do not displace those with one from memory.
    """
    return source == SOURCE and len(event_id) == 36 and event_id[14] == "5"


class KeyUses:
    """The latest uses of keys at any server, by the event id that each key gives. One thread writes it."""

    def __init__(self, size: int = KEYS) -> None:
        self._size, self._sent = size, dict[str, KeyUse]()

    def add(self, sent: KeyUse) -> None:
        """Add a use; the first one of an id is kept."""
        self._sent.setdefault(sent.receipt.id, sent)
        if len(self._sent) > self._size:
            del self._sent[next(iter(self._sent))]

    def get(self, event_id: str) -> KeyUse | None:
        return self._sent.get(event_id)
