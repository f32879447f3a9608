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


def counted(logs: Iterable[KnownIds], wanted: Collection[int]) -> dict[int, int]:
    """The same over several logs."""
    total: dict[int, int] = {}
    for each in logs:
        for number, count in each.count(wanted).items() if wanted else ():
            total[number] = total.get(number, 0) + count
    return total
