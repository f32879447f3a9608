"""The columns of a row's class: one for each field of one value, so that rows are found and sorted without decoding them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from streams.data import Record
from streams.engine.times import from_micros, to_micros
from streams.schemas.classes import without_none

COMPARED = 200
"""The most characters or bytes of a value that rows are sorted by: a cursor in a URL contains them."""
AFFINITY = {str: "text", bytes: "blob", float: "real", int: "integer", bool: "integer", datetime: "integer"}


def is_scalar(plain: Any) -> bool:
    return plain in AFFINITY or get_origin(plain) is Literal


def cut(value: Any) -> Any:
    """As much of a text or of bytes as is compared."""
    return value[:COMPARED]


class RowColumn(NamedTuple):
    """`store` makes a value of the field (not None) what SQLite keeps, `load` the other way."""

    field: str
    affinity: str
    store: Callable[[Any], Any] | None
    load: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return quoted(f"f_{self.field}")

    def bind(self, value: Any) -> Any:
        return value if value is None or self.store is None else self.store(value)


def quoted(name: str) -> str:
    """A name in SQL. Names of namespaces, projections and fields have no quotation marks."""
    return f'"{name}"'


def columns_of(row_type: type[Record]) -> Sequence[RowColumn]:
    """The columns of all fields of one value, in their order."""
    fields = [(field.name, without_none(field.type)) for field in msgspec.structs.fields(row_type)]
    return [_column(name, plain) for name, plain in fields if is_scalar(plain)]


def _column(name: str, plain: Any) -> RowColumn:
    if plain is datetime:
        return RowColumn(name, "integer", to_micros, from_micros)
    if plain is bool:
        return RowColumn(name, "integer", None, bool)
    if plain in (str, bytes) or get_origin(plain) is Literal:
        return RowColumn(name, AFFINITY.get(plain, "text"), cut, lambda value: value)
    return RowColumn(name, AFFINITY[plain], None, lambda value: value)


def binder_of(columns: Sequence[RowColumn]) -> Callable[[Any], Sequence[Any]]:
    """What SQLite keeps of a row: a value for each column."""
    if not columns:
        return lambda _: ()
    if len(columns) == 1:
        [only] = columns
        return lambda row: (only.bind(getattr(row, only.field)),)
    values = attrgetter(*(column.field for column in columns))
    stored = [(at, column.store) for at, column in enumerate(columns) if column.store is not None]

    def bind(row: Any) -> Sequence[Any]:
        found = list(values(row))
        for at, store in stored:
            if found[at] is not None:
                found[at] = store(found[at])
        return found

    return bind


def has_numbers_beyond_json(hint: Any) -> bool:
    """Whether a class holds an endless number somewhere, which JSON cannot: such rows are kept as Avro, too."""
    if hint is float:
        return True
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return any(has_numbers_beyond_json(field.type) for field in msgspec.structs.fields(hint))
    return any(has_numbers_beyond_json(each) for each in get_args(hint) if get_origin(hint) is not Literal)
