"""Makes events from a file's rows; each is checked before any is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.attributes import id_header, source_header, time_header
from streams.engine.envelope import to_micros
from streams.engine.records import Header
from streams.errors import InvalidEvent
from streams.eventfiles.columns import Columns, id_in, missing, time_in
from streams.eventfiles.ids import RowIdentity, RowIds
from streams.eventfiles.row import Row
from streams.eventfiles.texts import plain
from streams.prepared_event import PreparedEvent, encode

Made = EventData | tuple[EventData, datetime | None] | tuple[EventData, datetime | None, str | None]
FromRow = Callable[[Any], Made]
"""A function for `--with`: from a row's columns to the event, optionally with the time when it happened and an id.

Its result is checked, since the application's author writes it.
"""


class FileEvent(NamedTuple):
    """`time` is the row's, never the clock's; `id` is the row's own, else derived (`content_id`); `prepared` is to be published.

    `occurrence` counts, from 1, the equal rows of the file: each of them is an event. It is 1 for a row with an id of its
    own; such a row is a repeat if an earlier one has the same id and event.
    """

    line: int
    data: EventData
    time: datetime | None
    id: str
    prepared: PreparedEvent
    occurrence: int = 1
    is_repeat: bool = False


class BadRow(NamedTuple):
    """A row that is no valid event; `problem` names its column, on one line and without control characters."""

    line: int
    problem: str
    ends: bool = False
    """Whether nothing behind it could be read."""


@dataclass(frozen=True)
class EventMaker:
    """`make` returns the event of a row; `event_type` is the expected one (None: any that the codec knows).

    `source` publishes all of them. `id_column` and `time_column` are the columns of what `make` does not return.
    """

    make: FromRow
    codec: AvroCodec
    event_type: str | None
    max_bytes: int
    source: str = "file"
    id_column: str | None = None
    time_column: str | None = None

    def events(self, rows: Iterable[Row]) -> Iterator[FileEvent | BadRow]:
        """The events in the order of the rows. These must be a whole file, so that each reading gives the same ids."""
        ids = RowIds()
        for row in rows:
            if row.problem is not None:
                yield _bad(row, row.problem)
                continue
            yield self._event_or_problem(row, ids)

    def _event_or_problem(self, row: Row, ids: RowIds) -> FileEvent | BadRow:
        try:
            return self._event(row, ids)
        except InvalidEvent as error:
            return _bad(row, str(error))
        except KeyboardInterrupt:  # Ctrl-C
            raise
        except BaseException as error:  # noqa: BLE001 - the application's own function, on data that it did not expect
            return _bad(row, self._problem_of(row, error))

    @cached_property
    def _source(self) -> Header:
        return source_header(self.source)

    def _event(self, row: Row, ids: RowIds) -> FileEvent:
        data, time, own, timed = self._made(row)
        if self.event_type not in (None, data.event_type):
            raise InvalidEvent(f"it gave a {data.event_type}; a {self.event_type} was expected")
        value = encode(self.codec, data, self.max_bytes)
        said = RowIdentity(data.event_type, value, None if time is None else to_micros(time))
        event_id, occurrence, again = own, 1, False
        if event_id is None:
            event_id, occurrence = ids.derive(said)
        else:
            again = self._is_repeat(event_id, row.line, said, ids)
        headers = [self._source, ("ce_id", event_id.encode())]
        if timed is not None:
            headers.append(timed)
        prepared = PreparedEvent(type(data), data.key, event_id, value, headers, time)
        return FileEvent(row.line, data, time, event_id, prepared, occurrence, again)

    def _problem_of(self, row: Row, error: BaseException) -> str:
        """An error of the function, which is called again to learn the column that it read last: few rows have one."""
        columns = Columns(row.values)
        try:
            self.make(columns)
        except KeyboardInterrupt:  # Ctrl-C
            raise
        except BaseException:  # noqa: BLE001, S110 - the same error again, which was caught already
            pass
        return columns.problem_of(error)

    def _is_repeat(self, own: str, line: int, said: RowIdentity, ids: RowIds) -> bool:
        try:
            return ids.is_repeat(own, line, said)
        except InvalidEvent as error:
            where = "" if self.id_column is None else f"column {self.id_column!r}: "
            raise InvalidEvent(f"{where}{error}") from None

    def _made(self, row: Row) -> tuple[EventData, datetime | None, str | None, Header | None]:
        """The event, its time and its id, from the function or from the columns, and the time's header. All are checked."""
        for name in self._besides:
            if name not in row.values:  # first: the function would name a column that is there
                raise InvalidEvent(missing(name, row.values))
        data, time, own = _parts(self.make(row.values.copy()))  # the function may change what it gets
        timed = None if time is None else time_header(time)
        if own is not None:
            id_header(own)
        if self.time_column is not None:
            _refuse_two("time", time, self.time_column)
            time = time_in(row.values, self.time_column)
            timed = time_header(time)
        if self.id_column is not None:
            _refuse_two("id", own, self.id_column)
            own = id_in(row.values, self.id_column)
        return data, time, own, timed

    @cached_property
    def _besides(self) -> tuple[str, ...]:
        return tuple(name for name in (self.time_column, self.id_column) if name is not None)


def _bad(row: Row, problem: str) -> BadRow:
    """A bad row. Its problem is escaped, since parts of it come from the file, a library or the application's function."""
    return BadRow(row.line, plain(problem), row.ends)


def _parts(made: Any) -> tuple[EventData, datetime | None, str | None]:
    data, time, own = (*made, None)[:3] if isinstance(made, tuple) and len(made) in (2, 3) else (made, None, None)
    if (
        isinstance(data, EventData)
        and (time is None or isinstance(time, datetime))
        and (own is None or isinstance(own, str))
    ):
        return data, time, own
    raise InvalidEvent(f"it gave {made!r:.200}; an event, (event, time) or (event, time, id) was expected")


def _refuse_two(noun: str, given: object, column: str) -> None:
    if given is not None:
        raise InvalidEvent(
            f"the function gives the {noun}, and --{noun}-column names {column!r} for it: leave one of them out"
        )
