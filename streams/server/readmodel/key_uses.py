"""What Idempotency-Keys were used for, as the event logs tell: at whichever server, and after a restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from streams.receipt import Receipt

SOURCE = "retold/server"
"""The source of events that come in here without one of their own, as all do that have an Idempotency-Key."""
KEYS = 100_000


class KeyUse(NamedTuple):
    """What a key was used for: where the event is, and the digest of what was asked for."""

    receipt: Receipt
    digest: bytes


def digest_of(content: bytes, version: int | None) -> bytes:
    """16 bytes, equal for the same event (its canonical bytes) at the same expected version."""
    return blake2b(content + f"@{version}".encode(), digest_size=16).digest()


def has_key(source: str, event_id: str) -> bool:
    """Whether an event came in with a key: then its id is derived, a UUID of version 5. Those of chance are of version 4.

    What came in without a key is not to push out of memory what came with one.
    """
    return source == SOURCE and len(event_id) == 36 and event_id[14] == "5"


class KeyUses:
    """The latest keys that were used, at whichever server, by the id that each gives its event. One thread writes it."""

    def __init__(self, size: int = KEYS) -> None:
        self._size, self._sent = size, dict[str, KeyUse]()

    def add(self, sent: KeyUse) -> None:
        """The first event of an id is the one that counts."""
        self._sent.setdefault(sent.receipt.id, sent)
        if len(self._sent) > self._size:
            del self._sent[next(iter(self._sent))]

    def get(self, event_id: str) -> KeyUse | None:
        return self._sent.get(event_id)
