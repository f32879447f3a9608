"""The columns of a row's class: one for each field of one value, so that rows are found and sorted without decoding them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import msgspec

from streams.data import Record
from streams.engine.times import from_micros, to_micros
from streams.query.row_fields import COMPARED, KEY, Kind, RowField, scalars_of

AFFINITY: Final[dict[Kind, str]] = {
    "text": "text", "enum": "text", "bytes": "blob", "float": "real", "int": "integer", "bool": "integer", "time": "integer",
}  # fmt: skip


def cut(value: Any) -> Any:
    """As much of a text or of bytes as is compared."""
    return value[:COMPARED]


class RowColumn(NamedTuple):
    """`name` is as in SQL. `store` makes a value of the field (not None) what SQLite keeps, `load` the other way."""

    of: RowField
    name: str
    affinity: str
    store: Callable[[Any], Any] | None = None
    load: Callable[[Any], Any] = lambda value: value

    @property
    def field(self) -> str:
        return self.of.name

    def bind(self, value: Any) -> Any:
        return value if value is None or self.store is None else self.store(value)

    def loaded(self, value: Any) -> Any:
        return None if value is None else self.load(value)


def quoted(name: str) -> str:
    """A name in SQL. Names of namespaces, projections and fields have no quotation marks."""
    return f'"{name}"'


def marked(name: str) -> str:
    """A name with `^` before each capital: SQLite takes names for equal that differ by case alone. No name has a `^`."""
    return re.sub("([A-Z])", r"^\1", name)


def unmarked(name: str) -> str:
    return name.replace("^", "")


def column_name(field: str) -> str:
    """The column of a field, as in SQL."""
    return quoted(f"f_{marked(field)}")


KEY_COLUMN: Final = RowColumn(KEY, "key", "text")


def columns_of(row_type: type[Record]) -> Sequence[RowColumn]:
    """The columns of all fields of one value, in their order; those inside parts among them."""
    return [_column(field) for field in scalars_of(row_type)]


@cache
def _column(field: RowField) -> RowColumn:
    name, affinity = column_name(field.name), AFFINITY[field.kind]
    if field.kind == "time":
        return RowColumn(field, name, affinity, to_micros, from_micros)
    if field.kind == "bool":
        return RowColumn(field, name, affinity, None, bool)
    return RowColumn(field, name, affinity, cut if field.is_cut else None)


def binder_of(columns: Sequence[RowColumn]) -> Callable[[Any], Sequence[Any]]:
    """What SQLite keeps of a row: a value for each column."""
    if not columns:
        return lambda _: ()
    values = _values_of(columns)
    stored = [(at, column.store) for at, column in enumerate(columns) if column.store is not None]

    def bind(row: Any) -> Sequence[Any]:
        found = list(values(row))
        for at, store in stored:
            if found[at] is not None:
                found[at] = store(found[at])
        return found

    return bind


def _values_of(columns: Sequence[RowColumn]) -> Callable[[Any], Sequence[Any]]:
    """The quick way if none of them is in a part, which may be nothing."""
    if len(columns) > 1 and all(len(column.of.path) == 1 for column in columns):
        return attrgetter(*(column.field for column in columns))
    fields = [column.of for column in columns]
    return lambda row: [field.value("", row) for field in fields]


@cache
def has_numbers_beyond_json(hint: Any) -> bool:
    """Whether a class holds an endless number somewhere, which JSON cannot: such rows are kept as Avro, too."""
    if hint is float:
        return True
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return any(has_numbers_beyond_json(field.type) for field in msgspec.structs.fields(hint))
    return any(has_numbers_beyond_json(each) for each in get_args(hint) if get_origin(hint) is not Literal)
