"""A row's columns: as a function reads them, and the columns of an event's id and time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from streams.engine.attributes import id_header
from streams.engine.envelope import TEXT_LIMIT
from streams.engine.readable import in_a_line
from streams.engine.times import checked_time
from streams.errors import InvalidEvent, did_you_mean
from streams.eventfiles import numbers
from streams.eventfiles.texts import NAME_SHOWN, WORDS_SHOWN, listed, plain


class Columns(dict[str, Any]):
    """A row's columns. They remember the last one that was read, so that a function's error can name it."""

    last: str | None = None

    def __getitem__(self, name: str) -> Any:
        self.last = name
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.last = name
        return super().get(name, default)

    def problem_of(self, error: BaseException) -> str:
        """The error of a function as a sentence, with the column that it read last."""
        what = plain(in_a_line(error), WORDS_SHOWN)
        if not isinstance(self.last, str):  # no column was read, or the name is not a text
            return what
        if isinstance(error, KeyError) and error.args and error.args[0] == self.last:
            return missing(self.last, self)
        return f"column {self.last!r:.{NAME_SHOWN}} is {dict.get(self, self.last)!r:.80} ({what})"


def missing(name: str, values: Mapping[str, Any]) -> str:
    return f"column {name!r:.{NAME_SHOWN}} is missing{did_you_mean(name, values)}; there are {listed(values)}"


def id_in(values: Mapping[str, Any], name: str) -> str:
    """The id in a column: a text as it is, a whole number or a UUID as text. Raises InvalidEvent naming the column."""
    value = _value(values, name)
    if isinstance(value, str | int | UUID) and not isinstance(value, bool) and (text := str(value)).strip():
        with suppress(InvalidEvent):
            id_header(text)
            return text
    raise InvalidEvent(
        f"column {name!r} is {value!r:.80}; a text of 1 to {TEXT_LIMIT} bytes or a whole number was expected, as the id"
    )


def time_in(values: Mapping[str, Any], name: str) -> datetime:
    """The time in a column. Raises InvalidEvent naming the column."""
    value = time = _value(values, name)
    try:
        if isinstance(value, str):
            time = numbers.time(value.strip(" "))
        if isinstance(time, datetime):
            return checked_time("", time)
    except (ValueError, InvalidEvent):
        pass
    raise InvalidEvent(
        f"column {name!r} is {value!r:.80}; {numbers.TIME_EXPECTED} was expected"
    )


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise InvalidEvent(missing(name, values))
    return values[name]
