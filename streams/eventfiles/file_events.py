"""Makes events from a file's rows; each is checked before any is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.attributes import id_header, source_header, time_header
from streams.engine.records import Header
from streams.engine.times import to_micros
from streams.errors import InvalidEvent
from streams.eventfiles.columns import Columns, id_in, missing, time_in
from streams.eventfiles.convert import Converter
from streams.eventfiles.ids import RowIds
from streams.eventfiles.row import Row
from streams.eventfiles.row_code import RowCode, row_code
from streams.eventfiles.texts import plain
from streams.prepared_event import PreparedEvent, encode, refuse_ahead

Made = EventData | tuple[EventData, datetime | None] | tuple[EventData, datetime | None, str | None]
FromRow = Callable[[Any], Made]
"""A function for `--with`: from a row's columns to the event, optionally with the time when it happened and an id.

Its result is checked, since the application's author writes it.
"""
_Made = tuple[type[EventData], str, bytes, datetime | None, str | None, Header | None]
"""Of a row: the class of its event, key, bytes, time, an id of its own, and the time's header."""


class FileEvent(msgspec.Struct, frozen=True):
    """`prepared` is to be published: its time is the row's, never the clock's; its id the row's own, else derived (`content_id`).

    `occurrence` counts, from 1, the equal rows of the file: each of them is an event. It is 1 for a row with an id of its
    own; such a row is a repeat if an earlier one has the same id and event.
    """

    line: int
    prepared: PreparedEvent
    occurrence: int = 1
    is_repeat: bool = False

    @property
    def id(self) -> str:
        return self.prepared.id

    @property
    def time(self) -> datetime | None:
        return self.prepared.time


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
            event: FileEvent | BadRow
            try:
                event = self._event(row, ids) if row.problem is None else _bad(row, row.problem)
            except InvalidEvent as error:
                event = _bad(row, str(error))
            except KeyboardInterrupt:  # Ctrl-C
                raise
            except BaseException as error:  # noqa: BLE001 - the application's own function, on data that it did not expect
                event = _bad(row, self._problem_of(row, error))
            yield event

    @cached_property
    def _source(self) -> Header:
        return source_header(self.source)

    def _event(self, row: Row, ids: RowIds) -> FileEvent:
        made = self._made_quickly(row.values) or self._made_carefully(row)
        event_class, key, value, time, event_id, timed = made
        micros, occurrence, again = None if time is None else to_micros(time), 1, False
        if event_id is None:
            event_id, occurrence = ids.derive(event_class.event_type, value, micros)
        else:
            again = self._is_repeat(event_id, row.line, made, micros, ids)
        headers = [self._source, ("ce_id", event_id.encode())]
        if timed is not None:
            headers.append(timed)
            refuse_ahead(time)
        return FileEvent(row.line, PreparedEvent(event_class, key, event_id, value, headers, time), occurrence, again)

    @cached_property
    def _code(self) -> RowCode | None:
        """What makes the bytes of a common row, where the columns are the fields."""
        make = self.make
        if isinstance(make, Converter) and self.event_type in (None, make.data.event_type):
            return row_code(make.data, make.known, texts=make.texts)
        return None

    def _made_quickly(self, values: Mapping[str, Any]) -> _Made | None:
        """None for a row that is to be read carefully, also to say what is wrong."""
        code = self._code
        if code is None or (found := code.make(values)) is None or len(found[1]) > self.max_bytes:
            return None
        time = own = timed = None
        try:
            if self.time_column is not None:
                time = time_in(values, self.time_column)
                timed = time_header(time)
            if self.id_column is not None:
                own = id_in(values, self.id_column)
        except InvalidEvent:
            return None
        return code.event_class, *found, time, own, timed

    def _made_carefully(self, row: Row) -> _Made:
        data, time, own, timed = self._parts_of(row)
        if self.event_type not in (None, data.event_type):
            raise InvalidEvent(f"it gave a {data.event_type}; a {self.event_type} was expected")
        return type(data), data.key, encode(self.codec, data, self.max_bytes), time, own, timed

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

    def _is_repeat(self, own: str, line: int, made: _Made, micros: int | None, ids: RowIds) -> bool:
        event_class, _, value, *_ = made
        try:
            return ids.is_repeat(own, line, event_class.event_type, value, micros)
        except InvalidEvent as error:
            where = "" if self.id_column is None else f"column {self.id_column!r}: "
            raise InvalidEvent(f"{where}{error}") from None

    def _parts_of(self, row: Row) -> tuple[EventData, datetime | None, str | None, Header | None]:
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
