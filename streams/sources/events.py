"""Rows of a file as events, each checked before anything is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.identity import content_id
from streams.errors import InvalidEvent
from streams.sources.rows import Row

Made = EventData | tuple[EventData, datetime]
FromRow = Callable[[Any], Made]
"""What `--with` names: the columns of a row in, the event out, with the time when it happened if the row knows it.

What it gives is checked all the same: people write it.
"""


class FileEvent(NamedTuple):
    """`id` is of the contents, so that a file published again gives counted duplicates."""

    line: int
    data: EventData
    time: datetime | None
    id: str


class BadRow(NamedTuple):
    """A row that gives no event; `problem` names its column."""

    line: int
    problem: str


class Columns(dict[str, Any]):
    """A row's columns. It remembers which one was read last, so that a mistake in it can be named."""

    last: str | None = None

    def __getitem__(self, name: str) -> Any:
        self.last = name
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.last = name
        return super().get(name, default)


@dataclass(frozen=True)
class Maker:
    """`make` gives the event of a row; `event_type` is the one expected (None: any that the codec knows)."""

    make: FromRow
    codec: AvroCodec
    event_type: str | None
    max_bytes: int

    def events(self, rows: Iterable[Row]) -> Iterator[FileEvent | BadRow]:
        """In the order of the rows."""
        for row in rows:
            if row.problem is not None:
                yield BadRow(row.line, row.problem)
                continue
            columns = Columns(row.values)
            try:
                yield self._event(row.line, columns)
            except InvalidEvent as error:
                yield BadRow(row.line, str(error))
            except Exception as error:  # noqa: BLE001 - the application's own function, on data that it did not expect
                yield BadRow(row.line, _told(columns, error))

    def _event(self, line: int, columns: Columns) -> FileEvent:
        made: Any = self.make(columns)
        data, time = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not isinstance(data, EventData) or not isinstance(time, datetime | None):
            raise InvalidEvent(f"it gave {made!r:.200}; an event, or an event and its time, was expected")
        if self.event_type not in (None, data.event_type):
            raise InvalidEvent(f"it gave a {data.event_type}; a {self.event_type} was expected")
        if time is not None and time.tzinfo is None:
            raise InvalidEvent(f"the time {time} has no zone; is it UTC? Then say so")
        value = self.codec.encode(data)
        if len(value) > self.max_bytes:
            raise InvalidEvent(
                f"the event holds {len(value)} bytes; at most {self.max_bytes} are taken (RETOLD_MAX_EVENT_BYTES)"
            )
        return FileEvent(line, data, time, content_id(data.event_type, value))


def _told(columns: Columns, error: Exception) -> str:
    if isinstance(error, KeyError) and error.args and error.args[0] == columns.last:
        return f"column {columns.last!r} is missing; there are {', '.join(columns) or 'none'}"
    what = f"{type(error).__name__}: {error}"
    if columns.last is None:
        return what
    return f"column {columns.last!r} is {dict.get(columns, columns.last)!r:.80} ({what})"
