"""Tables and projections in memory: what one thread writes and everyone reads.

A row and its version are one entry, so that who reads one row needs no lock. Whoever reads all rows takes a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.app import App
from streams.data import Record, namespace_of
from streams.engine.parking import in_a_line
from streams.engine.projector import Projector
from streams.engine.records import Codec
from streams.kafka.messages import LogEvent


class UnreadableRow(NamedTuple):
    """Stands for a row that the classes here do not read: a newer deployment wrote it."""

    reason: str


class VersionedRow(NamedTuple):
    """`row` is an Unreadable if it does not read here."""

    row: Any
    version: int


class TableCopy(NamedTuple):
    """A table as it was at one moment; nobody changes it. `rows` are those that read, `unreadable` has reasons by key."""

    rows: Mapping[str, Any]
    kept: Mapping[str, VersionedRow]
    unreadable: Mapping[str, str]


class TableRows:
    """One table."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.kept: dict[str, VersionedRow] = {}
        self.unreadable: dict[str, str] = {}
        self._copy: TableCopy | None = None

    def put(self, key: str, row: Any, version: int) -> None:
        """`row` is None for a deleted one. To be called under the lock of what is followed."""
        self._copy = None
        kept = None if row is None else VersionedRow(row, version)
        _set(self.kept, key, kept)
        wrong = row.reason if isinstance(row, UnreadableRow) else None
        _set(self.rows, key, row if wrong is None else None)
        _set(self.unreadable, key, wrong)

    def copy(self) -> TableCopy:
        """The same one until the table changes. To be called under the lock of what is followed."""
        if self._copy is None:
            self._copy = TableCopy(dict(self.rows), dict(self.kept), dict(self.unreadable))
        return self._copy


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """One step, so that nobody sees a key missing while its value changes."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


class RowChange(NamedTuple):
    """A projection's new row, None if it is removed."""

    key: str
    row: Record | None


class ProjectionRows:
    """One projection's rows. A fold that raises ends it: to skip an event would make it silently wrong."""

    def __init__(self, app: App, name: str, codec: Codec) -> None:
        [self.projection] = [it for it in app.projections if it.name == name]
        self._projecting = Projector([self.projection], codec)
        self.rows: dict[str, Record] = self._projecting.rows[name]
        self.namespaces = sorted({namespace_of(data.event_type) for data in self.projection.folds_by})
        self.fault: str | None = None
        self._copy: TableCopy | None = None

    def fold(self, event: LogEvent) -> RowChange | None:
        """What the event changes; nothing is changed yet. To be called without a lock: the application's fold may take long."""
        if self.fault is not None or type(event.event.data) not in self.projection.folds_by:
            return None
        try:
            return RowChange(*self._projecting.change(self.projection, event.event))
        except BaseException as error:  # noqa: BLE001 - the application's own function may raise anything
            self.fault = (
                f"the projection {self.projection.name} raised {in_a_line(error)} at "
                f"{event.event.data.event_type}, {event.namespace}-{event.partition}:{event.sequence}. It stands still: "
                "correct it and start the server again"
            )
            return None

    def put(self, change: RowChange) -> None:
        """To be called under the lock of what is followed."""
        self._copy = None
        _set(self.rows, *change)

    def copy(self) -> TableCopy:
        """The same one until the projection changes. To be called under the lock of what is followed."""
        if self._copy is None:
            self._copy = TableCopy(dict(self.rows), {}, {})
        return self._copy
