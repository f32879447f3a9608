"""Reads a table's partition into the model one transaction at a time, so that none is visible in part."""

from __future__ import annotations

from confluent_kafka import Message

from streams.engine import marker
from streams.errors import StreamsError
from streams.kafka.messages import Decoder, table_record
from streams.server.readmodel.model import NamespacePartition, ReadModel
from streams.server.readmodel.tables import UnreadableRow

PENDING = 5_000
"""Rows that are applied at once during the first read; later, a whole transaction is."""


class TableFollower:
    """Follows one partition of a table. A transaction begins with its marker, and ends at the next one or at the end."""

    def __init__(self, model: ReadModel, partition: NamespacePartition, decoder: Decoder) -> None:
        self._model, self._partition, self._decoder = model, partition, decoder
        self._row_type = model.app.namespace(partition[0]).row_type
        self._marker: marker.Marker | None = None
        self._rows: dict[str, tuple[bytes, int]] = {}

    def take(self, message: Message, past: bool) -> None:
        """Take a record. `past`: it is from before following began, so the model is not ready yet."""
        record = table_record(message)
        if isinstance(record, marker.Marker):
            self.flush()
            self._marker = record
            return
        self._rows[record.key] = (record.value, record.version)
        if past and len(self._rows) >= PENDING:
            self._show(None)

    def flush(self) -> None:
        if self._marker is not None or self._rows:
            self._show(self._marker)
            self._marker = None

    def _show(self, last: marker.Marker | None) -> None:
        rows = {key: (self._row(value), version) for key, (value, version) in self._rows.items()}
        self._rows = {}
        self._model.committed(self._partition, last, rows)

    def _row(self, value: bytes) -> object:
        if not value:
            return None
        try:
            return self._decoder.decode_row(self._row_type, value)
        except StreamsError as error:
            return UnreadableRow(str(error))
