"""Whether the rows of a table are those that the log folds into, byte for byte (rule 21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.codec import PREFIX, AvroCodec, prefix_of
from streams.data import Record
from streams.engine.generations import counts
from streams.engine.marker import Marker
from streams.engine.records import Entry
from streams.errors import StreamsError
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_findings import FOLDS, ROW, Findings
from streams.namespace import Namespace


class TableRow(NamedTuple):
    """As its table has it; empty bytes if it was deleted. A `built` one was made beside those that workers write."""

    value: bytes
    version: int
    built: bool = False


class RowCheck:
    """Of one partition's table."""

    def __init__(self, at: NamespacePartition, findings: Findings, codec: AvroCodec, space: Namespace[Any]) -> None:
        self._at, self._findings, self._codec, self._type = at, findings, codec, space.row_type
        self._generation = space.generation
        self._rows: dict[str, TableRow] = {}
        self.count = 0

    def take(self, key: str, row: TableRow) -> None:
        known = self._rows.get(key)
        if counts(row.version, 0 if known is None else known.version, built=row.built):
            self._rows[key] = row
        self.count = len(self._rows)

    def are_kept(self, last: Marker | None) -> bool:
        """Whether these rows are of the generation that workers keep; else they need not be what the log folds into."""
        if last is None or last.generation == self._generation:
            return True
        what = f"rows of generation {self._generation}, while workers keep generation {last.generation}"
        self._findings.unchecked(what, self._where(last.last), self.count)
        self._rows, self.count = {}, 0
        return False

    def compare(self, folded: Mapping[str, Entry], opaque: Mapping[str, int]) -> None:
        """With what was folded up to the marker. Of `opaque` keys it is not known what their rows should be."""
        table, self._rows = self._rows, {}
        for key, stored in table.items():
            if key in opaque:
                self._findings.unchecked("rows of keys whose events could not all be handled again", self._where(stored.version))
            elif key not in folded:
                self._add(key, stored.version, "no row: no event that was accepted made one", "a row")
            else:
                self._compare(key, stored, *folded[key])
        for key in folded.keys() - table.keys() - opaque.keys():
            row, version = folded[key]
            self._add(key, version, "a row" if row is not None else "a row that was deleted, with its version", "none")

    def _where(self, version: int) -> str:
        return position_name(*self._at, version)

    def _add(self, key: str, version: int, expected: str, found: str) -> None:
        about = f"of the key {key[:100]!r} in the table"
        self._findings.add(ROW, self._at, f"{expected} {about}", found, sequence=version, key=key)

    def _compare(self, key: str, stored: TableRow, row: Record | None, version: int) -> None:
        if stored.version != version:
            self._add(key, version, f"a row of version {version}", f"version {stored.version}")
            return
        try:
            right = b"" if row is None else self._codec.encode_frozen(row)[1]
            if right == stored.value:
                return
            if not right or not stored.value:
                found = "a row that was deleted", "a row"
                self._folds(key, version, *(found if not right else found[::-1]))
                return
            there = self._codec.decode_row(self._type, stored.value)
            written = self._codec.encode_frozen(there)[1]
        except StreamsError as error:
            self._add(key, version, "a row that can be read", str(error))
            return
        if written != stored.value and stored.value[:PREFIX] == prefix_of(self._codec.newest_id(self._type)):
            self._add(key, version, "a row as a worker writes it", "other bytes for the same values")
        elif written != right:
            names = [it for it in there.__struct_fields__ if getattr(there, it) != getattr(row, it)]
            self._folds(key, version, *(", ".join(f"{it}={getattr(of, it)!r:.60}" for it in names[:5]) for of in (row, there)))

    def _folds(self, key: str, version: int, expected: str, found: str) -> None:
        about = f"the row of {key[:100]!r} as the log folds"
        self._findings.add(FOLDS, self._at, f"{about}: {expected}", f"in the table: {found}", sequence=version, key=key)
