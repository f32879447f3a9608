"""Tables and projections in memory: one thread writes them, all others read.

A row and its version are one entry, so reading one row needs no lock. To read all rows, take a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.app import App
from streams.data import Record, namespace_of
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import Codec
from streams.kafka.messages import LogEvent


class UnreadableRow(NamedTuple):
    """Stands for a row that the classes here cannot read, since a newer deployment wrote it."""

    reason: str


class VersionedRow(NamedTuple):
    """`row` is an UnreadableRow if it cannot be read here."""

    row: Any
    version: int


class TableCopy(NamedTuple):
    """An immutable copy of a table. `rows` has the readable rows, `unreadable` the reasons of the others, by key."""

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
        """Set a row; None deletes it. To be called under the model's lock."""
        self._copy = None
        kept = None if row is None else VersionedRow(row, version)
        _set(self.kept, key, kept)
        wrong = row.reason if isinstance(row, UnreadableRow) else None
        _set(self.rows, key, row if wrong is None else None)
        _set(self.unreadable, key, wrong)

    def copy(self) -> TableCopy:
        """The same one until the table changes. To be called under the model's lock."""
        if self._copy is None:
            self._copy = TableCopy(dict(self.rows), dict(self.kept), dict(self.unreadable))
        return self._copy


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """In one step, so that no reader misses a key while its value changes."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


class RowChange(NamedTuple):
    """A projection's new row; None: it is deleted."""

    key: str
    row: Record | None


class ProjectionRows:
    """One projection's rows. A fold that raises stops it: skipping an event would make it silently wrong."""

    def __init__(self, app: App, name: str, codec: Codec) -> None:
        [self.projection] = [it for it in app.projections if it.name == name]
        self._projecting = Projector([self.projection], codec)
        self.rows: dict[str, Record] = self._projecting.rows[name]
        self.namespaces = sorted({namespace_of(data.event_type) for data in self.projection.folds_by})
        self.fault: str | None = None
        self._copy: TableCopy | None = None

    def fold(self, event: LogEvent) -> RowChange | None:
        """The change that an event makes, not applied yet. To be called without a lock: the application's fold may be slow."""
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
        """Apply a change. To be called under the model's lock."""
        self._copy = None
        _set(self.rows, *change)

    def copy(self) -> TableCopy:
        """The same one until the projection changes. To be called under the model's lock."""
        if self._copy is None:
            self._copy = TableCopy(dict(self.rows), {}, {})
        return self._copy
