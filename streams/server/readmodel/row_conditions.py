"""Conditions on rows as SQL: they hold where those of streams/query/filters.py do.

A column has the beginning of a text or of bytes alone. Where that does not decide, the whole value is taken from the row's JSON;
what a column can say comes first, so that an index of it is used.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from streams.query.filters import Filter
from streams.query.row_fields import COMPARED, KEY, RowField
from streams.server.readmodel.row_columns import KEY_COLUMN, RowColumn, cut

LAST: Final = "\U0010ffff"
COMPARISONS: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class Sql(NamedTuple):
    """A condition, and the values of its question marks in their order."""

    text: str
    values: Sequence[Any] = ()


def sql_of(condition: Filter, columns: Mapping[str, RowColumn]) -> Sql:
    """`columns` are by the names of fields, without the key."""
    field, operator, value = condition
    if operator == "has":
        return _has(field, value)
    column = KEY_COLUMN if field == KEY else columns[field.name]
    match operator:
        case "":
            return _equal(column, value)
        case "ne":
            return _not(_equal(column, value))
        case "in":
            return _among(column, value)
        case "notin":
            return _not(_among(column, value))
        case "isnull":
            return Sql(f"{column.name} is {'' if value else 'not '}null")
        case "startswith":
            return _begins(column, value)
        case "contains":
            whole = _whole(column)
            return Sql(f"instr({whole.text}, ?) > 0", [*whole.values, value])
    return _compared(column, operator, value)


def _not(condition: Sql) -> Sql:
    """Also where it is neither true nor false, since there is no value."""
    return Sql(f"({condition.text}) is not true", condition.values)


def _equal(column: RowColumn, value: Any) -> Sql:
    if value is None:
        return Sql(f"{column.name} is null")
    if not _is_long(column, value):
        return Sql(f"{column.name} = ?", [column.bind(value)])
    kept = value if isinstance(value, str) else b64encode(value).decode()
    text = f"({column.name} = ? and json_extract(cast(body as text), ?) = ?)"
    return Sql(text, [column.bind(value), path_of(column.of), kept])


def _among(column: RowColumn, wanted: Sequence[Any]) -> Sql:
    plain = [column.bind(value) for value in wanted if value is not None and not _is_long(column, value)]
    parts = [_equal(column, value) for value in wanted if value is None or _is_long(column, value)]
    if plain:
        parts.insert(0, Sql(f"{column.name} in ({', '.join('?' * len(plain))})", plain))
    if not parts:
        return Sql("false")
    text = " or ".join(part.text for part in parts)
    return Sql(f"({text})" if len(parts) > 1 else text, [value for part in parts for value in part.values])


def _compared(column: RowColumn, operator: str, value: Any) -> Sql:
    """Of a text that is longer than what the column has, the column may be equal: then all of it decides."""
    sign = COMPARISONS[operator]
    if not _is_long(column, value):
        return Sql(f"{column.name} {sign} ?", [column.bind(value)])
    whole, near = _whole(column), f"{sign[0]}="
    return Sql(f"({column.name} {near} ? and {whole.text} {sign} ?)", [cut(value), *whole.values, value])


def _begins(column: RowColumn, value: str) -> Sql:
    """A range, for which an index helps."""
    if not value:
        return Sql(f"{column.name} is not null")
    beginning = cut(value) if column.of.is_cut else value
    text, values, end = f"{column.name} >= ?", [beginning], _behind(beginning)
    if end:
        text, values = f"({text} and {column.name} < ?)", [beginning, end]
    if not column.of.is_cut or len(value) <= COMPARED:
        return Sql(text, values)
    whole = _whole(column)
    return Sql(f"({text} and instr({whole.text}, ?) = 1)", [*values, *whole.values, value])


def _behind(text: str) -> str:
    """The first text that is behind all that begin so; empty if there is none."""
    kept = text.rstrip(LAST)
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)


def _whole(column: RowColumn) -> Sql:
    """All of a text. In bytes it is at least as long as in letters, and `length` ends at a letter 0."""
    if not column.of.is_cut:
        return Sql(column.name)
    short = f"length(cast({column.name} as blob)) < {COMPARED}"
    text = f"case when {short} then {column.name} else json_extract(cast(body as text), ?) end"
    return Sql(text, [path_of(column.of)])


def _is_long(column: RowColumn, value: Any) -> bool:
    """Whether the column does not say if it has this value."""
    return column.of.is_cut and len(value) >= COMPARED


def _has(field: RowField, value: Any) -> Sql:
    """Elements are compared as they are written in JSON, which is one way for each value; but for 0, which has a sign."""
    forms = _written(field, value)
    text = (
        "exists(select 1 from json_each(cast(body as text), ?) as item "
        f"where (cast(body as text) -> item.fullkey) in ({', '.join('?' * len(forms))}))"
    )
    return Sql(text, [path_of(field), *forms])


def _written(field: RowField, value: Any) -> Sequence[str]:
    if field.item is not None and field.item.kind == "float":
        return ["0.0", "-0.0"] if value == 0 else [msgspec.json.encode(float(value)).decode()]
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
    return [msgspec.json.encode(value).decode()]


def path_of(field: RowField) -> str:
    """Where a field is in the row's JSON."""
    return "$" + "".join(f'."{name}"' for name in field.path)


