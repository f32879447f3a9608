"""The fields that rows are chosen, sorted and counted by: each leaf of a row's class, and the key."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import msgspec

from streams.data import Record
from streams.hints import without_none

COMPARED: Final = 200
"""The most characters or bytes of a field's value that rows are sorted by: a cursor in a URL contains them."""
Kind = Literal["text", "enum", "bytes", "int", "float", "bool", "time", "array", "other"]
KINDS: Final[Mapping[Any, Kind]] = {str: "text", bytes: "bytes", int: "int", float: "float", bool: "bool", datetime: "time"}
EQUAL: Final = ""
"""The operator of a filter that names none."""
ANY: Final = ("ne", "in", "notin", "isnull")
ORDERED: Final = (*ANY, "lt", "lte", "gt", "gte")
TEXTS: Final = (*ORDERED, "startswith", "contains")
OPERATORS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "text": TEXTS,
    "int": ORDERED,
    "float": ORDERED,
    "time": ORDERED,
    "enum": ANY,
    "bytes": ANY,
    "bool": ANY,
    "array": ("has",),
    "other": (),
}
"""By what a field holds, the operators that it has beside equality, which an array and what holds more have not."""
ALL_OPERATORS: Final = (*TEXTS, "has")


class RowField(NamedTuple):
    """A field of a row: `address.city` is one inside a part. `path` has the names that lead to it, none for the key.

    `symbols` are those of an enum. `item` is what an array of single values holds.
    """

    name: str
    path: tuple[str, ...]
    kind: Kind
    optional: bool = False
    symbols: tuple[str, ...] = ()
    item: RowField | None = None

    @property
    def is_scalar(self) -> bool:
        """Whether it holds one value, so that rows are sorted and counted by it."""
        return self.kind not in ("array", "other")

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of a long value is compared in an order."""
        return self.kind in ("text", "bytes", "enum") and bool(self.path)

    def value(self, key: str, row: Any) -> Any:
        """What a row has in it; None where the field, or a part that it is in, is nothing."""
        if not self.path:
            return key
        for name in self.path:
            if row is None:
                return None
            row = getattr(row, name)
        return row

    def sorted_by(self, key: str, row: Any) -> Any:
        """As much of it as is compared in an order."""
        value = self.value(key, row)
        return value[:COMPARED] if self.is_cut and value is not None else value


KEY: Final = RowField("_key", (), "text")


@cache
def fields_of(row_type: type[Record]) -> Mapping[str, RowField]:
    """All leaves of a row's class in their order, by name; the key last. A part is in it too, as what holds more."""
    found = {field.name: field for field in _leaves(row_type, (), False, ())}
    return types.MappingProxyType({**found, KEY.name: KEY})


def scalars_of(row_type: type[Record]) -> list[RowField]:
    """Those that hold one value, without the key."""
    return [field for field in fields_of(row_type).values() if field.is_scalar and field.path]


def _leaves(
    row_type: type[Record], path: tuple[str, ...], optional: bool, around: tuple[type[Record], ...]
) -> Iterator[RowField]:
    for each in msgspec.structs.fields(row_type):
        here, plain = (*path, each.name), without_none(each.type)
        field = _field(here, plain, plain is not each.type or optional)
        yield field
        is_part = isinstance(plain, type) and issubclass(plain, Record)
        if is_part and plain not in (row_type, *around):  # a part may hold its own kind
            yield from _leaves(plain, here, field.optional, (row_type, *around))


def _field(path: tuple[str, ...], plain: Any, optional: bool) -> RowField:
    name = ".".join(path)
    if get_origin(plain) is Literal:
        return RowField(name, path, "enum", optional, get_args(plain))
    if get_origin(plain) is tuple and get_args(plain)[1:] == (Ellipsis,):
        item = get_args(plain)[0]
        inner = _field(path, without_none(item), without_none(item) is not item)
        return RowField(name, path, "array" if inner.is_scalar else "other", optional, item=inner)
    return RowField(name, path, KINDS.get(plain, "other"), optional)

