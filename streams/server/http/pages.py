"""Pages of rows: filtered by equality of fields, and sorted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from streams.data import Record
from streams.eventfiles import numbers
from streams.eventfiles.convert import SCALARS
from streams.schemas.classes import without_none
from streams.server.http.parameters import known_params
from streams.server.http.problems import Problem
from streams.server.readmodel.row_columns import is_scalar
from streams.server.readmodel.row_query import LIMIT, RowQuery

MOST = 1000
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
AVRO: Mapping[Any, str] = {int: "long", float: "double", bool: "boolean", bytes: "bytes"}
"""How a value is written in a filter: as in a file."""
OURS = ("_sort", "_limit", "_next", "_min_position")


class Cursor(NamedTuple):
    """The last row of a page: the sort order, the row's value in it, and its key."""

    order: str
    value: Any
    key: str


def cursor_of(query: RowQuery, last: tuple[object, str] | None) -> str | None:
    """Where the next page goes on: behind the last row's value in the order, and its key. None: there is no next page."""
    if last is None:
        return None
    text = msgspec.json.encode([query.order, *last])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def read_query(pairs: Iterable[tuple[str, str]], row_type: type[Record]) -> RowQuery:
    """From a URL's parameters. Raises a 422 problem naming the parameter, its value and what was expected."""
    hints = {field.name: field.type for field in msgspec.structs.fields(row_type)}
    ours = known_params(pairs, *OURS, *hints)
    equal = {name: _value(name, text, hints[name]) for name, text in ours.items() if name in hints}
    sort, falling = _sort(ours.get("_sort", "_key"), hints)
    query = RowQuery(equal, sort, falling, _limit(ours.get("_limit", str(LIMIT))))
    if "_next" in ours:
        cursor = _cursor(ours["_next"], query, hints)
        return RowQuery(equal, sort, falling, query.limit, (cursor.value, cursor.key))
    return query


def _value(name: str, text: str, hint: Any) -> Any:
    plain = without_none(hint)
    if text == "" and plain is not hint:
        return None
    if plain is str:
        return text
    if not is_scalar(plain):
        raise Problem(422, f"{name!r} holds more than one value, so rows cannot be chosen by it", field=name)
    if plain is datetime:
        return _time(name, text)
    try:
        return SCALARS[AVRO[plain]](text) if plain in AVRO else msgspec.convert(text, plain)
    except (ValueError, KeyError, msgspec.ValidationError):
        or_nothing = "" if plain is hint else " or nothing"
        raise Problem(
            422, f"the parameter {name!r} is {text[:80]!r}; {_expected(plain)}{or_nothing} was expected", field=name
        ) from None


def _expected(plain: Any) -> str:
    """A field's type in words."""
    if get_origin(plain) is Literal:
        return f"one of {', '.join(get_args(plain))}"
    return {int: "a whole number", float: "a number", bool: "true or false", bytes: "bytes as base64"}[plain]


def _time(name: str, text: str) -> datetime:
    """A time with a zone: one without would silently match nothing, and rounded nanoseconds another row."""
    try:
        return numbers.time(text)
    except ValueError:
        raise Problem(
            422, f"the parameter {name!r} is {text[:80]!r}; an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z, was "
            "expected (+ in an address is %2B)", field=name,
        ) from None  # fmt: skip


def _sort(text: str, hints: Mapping[str, Any]) -> tuple[str, bool]:
    name = text.removeprefix("-")
    if name != "_key" and (name not in hints or not is_scalar(without_none(hints[name]))):
        fields = ", ".join(["_key", *(each for each, hint in hints.items() if is_scalar(without_none(hint)))])
        raise Problem(
            422, f"_sort is {text[:80]!r}; one of {fields} was expected, with - before it to begin with the largest",
            field="_sort",
        )  # fmt: skip
    return "" if name == "_key" else name, text.startswith("-")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST):
        raise Problem(422, f"_limit is {text[:80]!r}; a whole number from 1 to {MOST} was expected", field="_limit")
    return int(text)


def _sorted_by(hint: Any) -> Any:
    """The type of a field's value in a cursor, where an enum's may be cut."""
    plain = without_none(hint)
    if plain is datetime:
        return Moment | None
    return str | None if get_origin(plain) is Literal else hint


def _cursor(text: str, query: RowQuery, hints: Mapping[str, Any]) -> Cursor:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        value = _sorted_by(hints.get(query.sort))
        found: Sequence[Any] = msgspec.json.decode(raw, type=tuple[str, value, str])  # type: ignore[valid-type]  # made at run time
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        found = ("", None, "")
    if found[0] != query.order:
        raise Problem(
            422, f"_next is {text[:80]!r}; the `next` of a page was expected, asked for with the same _sort",
            field="_next",
        )  # fmt: skip
    return Cursor(*found)
