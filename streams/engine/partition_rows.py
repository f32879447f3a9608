"""The rows of one partition. One that a restore has read stays bytes until its key is handled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from streams.data import Record
from streams.engine.records import Entry

Decode = Callable[[bytes], Record]


def no_bytes(_value: bytes) -> Record:
    """Of rows that are not restored."""
    raise AssertionError("rows that are not restored are objects")


def shrink(kept: dict[Any, Any], count: int) -> int:
    """Take out so many entries at most; returns how many."""
    fewer = min(count, len(kept))
    for _ in range(fewer):
        kept.popitem()
    return fewer


class PartitionRows(Mapping[str, Entry]):
    """By key, with their versions. PartitionRows are never removed: of a deleted one its version stays.

    Most rows of a large table are not handled between two restores, so no objects are made of them. `decode` decodes those that
    were restored; their schemas were checked by then. The thread that handles events changes rows; others may read meanwhile.
    """

    __slots__ = ("_decode", "_kept")

    def __init__(self, decode: Decode = no_bytes) -> None:
        self._decode = decode
        self._kept: dict[str, tuple[Record | bytes | None, int]] = {}

    @property
    def kept(self) -> Mapping[str, tuple[Record | bytes | None, int]]:
        """As they are kept: a row that was restored and not asked for is bytes."""
        return self._kept

    def entry(self, key: str) -> Entry | None:
        """As `get`, and a decoded row is kept: for the thread that handles events. Raises UndecodableRecord, as all readers do."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        row, version = kept
        if isinstance(row, bytes):
            row = self._decode(row)
            self._kept[key] = (row, version)
        return row, version

    def restore(self, key: str, value: bytes, version: int) -> None:
        """Put a row as the table topic holds it: empty if it was deleted."""
        self._kept[key] = (value or None, version)

    def version(self, key: str) -> int:
        """0 without a row."""
        kept = self._kept.get(key)
        return 0 if kept is None else kept[1]

    def apply(self, changes: Mapping[str, Entry]) -> None:
        """Put rows that were committed."""
        self._kept.update(changes)

    def shrink(self, count: int) -> int:
        """Free so many at most, of rows that are not used any more; returns how many."""
        return shrink(self._kept, count)

    def present(self) -> list[str]:
        """The keys whose row was not deleted."""
        return [key for key, (row, _) in list(self._kept.items()) if row is not None]

    def __getitem__(self, key: str) -> Entry:
        row, version = self._kept[key]
        return (self._decode(row) if isinstance(row, bytes) else row), version

    def __setitem__(self, key: str, entry: Entry) -> None:
        self._kept[key] = entry

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
