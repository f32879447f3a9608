"""Reads a table's partition into the file one transaction at a time, so that none is visible in part."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from streams.data import Record
from streams.engine import marker
from streams.engine.generations import BuiltTo, RowsThere, counts, rows_there
from streams.errors import StreamsError
from streams.history.recorded_event import NamespacePartition
from streams.kafka.messages import Decoder, StoredRow, table_record
from streams.namespace import FIRST
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.readmodel.store_writer import StoreWriter
from streams.server.readmodel.unbuilt_tables import THERE

PENDING = 5_000
"""Rows that are given at once during the first read; later, a whole transaction is."""


class TableFollower:
    """Follows one partition of a table. A transaction begins with its marker, and ends at the next one or at the end."""

    def __init__(
        self, writer: StoreWriter, partition: NamespacePartition, row_type: type[Record], decoder: Decoder,
        generation: int = FIRST,
    ) -> None:  # fmt: skip
        """Rows of other generations are left out; that workers keep one of those, or what is built, is given with the others."""
        self._writer, self._partition, self._row_type, self._decoder = writer, partition, row_type, decoder
        self._generation, self._current = generation, False
        self._there, self._given = _there_in(writer, partition, generation), RowsThere(of=0)
        self._deleted: dict[str, int] = {}
        """During the first read, the versions of rows that workers have deleted, until they are in the file."""
        self._was_past = True
        self._marker: marker.Marker | None = None
        self._rows: dict[str, tuple[bytes, int]] = {}
        self._next: int | None = None

    def take(self, message: Message, past: bool) -> None:
        """Take a record. `past`: nothing is answered from the table yet, so a transaction may be seen in part."""
        record = table_record(message)
        if self._was_past and not past:
            self._was_past = False
            self._deleted.clear()
            self._writer.deleted.forget(self._partition)
        if isinstance(record, marker.Marker):
            self.flush()
            self._current = record.generation == self._generation
            self._there = self._there.behind(record)
            if self._current:  # else these rows are not kept up by its transactions
                self._marker = record
        elif isinstance(record, BuiltTo):
            self._there = self._there.behind(record)
        elif record.generation == self._generation and self._is_newest(record, past):
            self._rows[record.key] = (record.value, record.version)
            if past and len(self._rows) + len(self._deleted) >= PENDING:
                self._give_rows()
        self._next = (message.offset() or 0) + 1

    def _is_newest(self, record: StoredRow, past: bool) -> bool:
        """A worker's always is. A built one may come late: behind a row of a worker, or one that it has deleted."""
        if not record.built:
            if past and not record.value:
                self._deleted[record.key] = record.version
            return True
        if not past and self._current:
            return False
        return counts(record.version, self._version(record.key, past), built=True)

    def _version(self, key: str, past: bool) -> int:
        """That of the row which is known, also of one that was deleted in the past."""
        given = self._rows.get(key) or (b"", self._deleted.get(key, 0))
        deleted = self._writer.deleted.version(self._partition, key) if past else 0
        return max(given[1], deleted, self._writer.version(self._partition[0], key))

    def flush(self) -> None:
        """The transaction is whole."""
        if self._next is None:
            return
        self._give_rows()
        if self._marker is not None:
            self._writer.put_marker(*self._partition, self._marker)
            self._marker = None
        if self._there != self._given:
            self._writer.put_rows_there(*self._partition, self._there)
            self._given = self._there
        self._writer.reached(("table", *self._partition), self._next)
        self._next = None

    @property
    def is_empty(self) -> bool:
        """Whether all that was taken is given."""
        return self._next is None

    def _give_rows(self) -> None:
        namespace, part = self._partition
        if self._deleted:
            self._writer.deleted.note(self._partition, self._deleted)
            self._deleted = {}
        for key, (value, version) in self._rows.items():
            row = read_row(self._decoder, self._row_type, value)
            self._writer.put_row(namespace, part, key, version, row, value)
        self._rows = {}


def _there_in(writer: StoreWriter, partition: NamespacePartition, generation: int) -> RowsThere:
    """What the file says of the rows. One that an earlier version has written says nothing of what it has read."""
    kept, read = (writer.positions.get((kind, *partition)) for kind in (THERE, "table"))
    if kept is None:
        return RowsThere(of=generation, unseen=read is not None and read.next_offset > 0)
    return rows_there(kept.marker, generation)


def read_row(decoder: Decoder, row_type: type[Record], value: bytes) -> Any:
    """A row, None for one that is removed, or an UnreadableRow."""
    if not value:
        return None
    try:
        return decoder.decode_row(row_type, value)
    except StreamsError as error:
        return UnreadableRow(str(error))
