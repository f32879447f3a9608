"""A stored record as a verification gets it, and what it keeps in its place: hashes of 64 bits.

Python's own hashes are keyed anew in each process, so nobody can write two records that have the same one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from streams.engine.records import Headers
from streams.event import is_unique

PartitionOf = Callable[[str, bytes], int]
"""The partition of a key in a namespace."""


class StoredRecord(NamedTuple):
    """A record as its topic holds it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def hash_of(key: bytes, value: bytes | None, headers: Headers) -> int:
    """Equal if all of it is."""
    return hash((key, value, tuple(headers)))


def identity_of(source: str, event_id: str) -> int:
    """Equal if the references are (docs/events-and-headers.md)."""
    return hash(event_id if is_unique(source, event_id) else (source, event_id))


class KnownIds:
    """The identities of all events of a log, 8 bytes each."""

    def __init__(self) -> None:
        self._ids = array("q")
        self.add = self._ids.append

    def __len__(self) -> int:
        return len(self._ids)

    def count(self, wanted: Collection[int]) -> dict[int, int]:
        """How often those of `wanted` are here."""
        found: dict[int, int] = {}
        for each in self._ids:
            if each in wanted:
                found[each] = found.get(each, 0) + 1
        return found


class IdWindow:
    """The identities that a log's last `size` events have: a worker knows them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def earlier(self, event_id: int, sequence: int) -> int:
        """The sequence of an earlier event of this identity, which is in the window; 0: there is none."""
        first = self._young.setdefault(event_id, sequence)
        if first == sequence:
            first = self._old.get(event_id, 0)
        else:
            self._young[event_id] = sequence
        if len(self._young) >= self.size:
            self._old, self._young = self._young, {}
        return first if first > sequence - 1 - self.size else 0


def counted(logs: Iterable[KnownIds], wanted: Collection[int]) -> dict[int, int]:
    """The same over several logs."""
    total: dict[int, int] = {}
    for each in logs:
        for number, count in each.count(wanted).items() if wanted else ():
            total[number] = total.get(number, 0) + count
    return total
