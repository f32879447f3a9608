"""Indexes that an application declares for its tables: the fields that its rows are found and sorted by."""

from __future__ import annotations

from collections.abc import Sequence

from streams.data import Record
from streams.errors import DefinitionError, did_you_mean
from streams.query.filters import Filter
from streams.query.query import Query, SortField
from streams.query.row_fields import EQUAL, fields_of

Declared = Sequence[str | Sequence[str]]
"""Such as `["customer", ("status", "-placed")]`: a field, or several, of which one with - before it is falling."""
TableIndex = tuple[SortField, ...]
"""The key follows its last field, in the same direction."""


def indexes_of(table: str, row_type: type[Record], declared: Declared) -> tuple[TableIndex, ...]:
    """Raises DefinitionError for a field that there is not, or of more than one value, and for an index declared twice."""
    if isinstance(declared, str):
        raise DefinitionError(f"the indexes of {table} are {declared!r}; a list was expected, such as [{declared!r}]")
    found: list[TableIndex] = []
    for each in declared:
        names = [*each] if isinstance(each, list | tuple) else [each]
        index = tuple(_part(table, row_type, name) for name in names)
        if not index or len({part.field.name for part in index}) < len(index):
            raise DefinitionError(f"the index {each!r} of {table} has no field, or one twice; each field once was expected")
        if index in found:
            raise DefinitionError(f"the index {each!r} of {table} is declared twice: remove one")
        found.append(index)
    return tuple(found)


def _part(table: str, row_type: type[Record], name: object) -> SortField:
    fields = {each: field for each, field in fields_of(row_type).items() if field.is_scalar and not each.startswith("_")}
    plain = name.removeprefix("-") if isinstance(name, str) else ""
    if plain not in fields:
        known = fields_of(row_type).get(plain)
        why = "is no field of its rows" if known is None else "holds more than one value"
        why = "is in every index, at its end" if plain == "_key" else "begins with _" if plain.startswith("_") else why
        raise DefinitionError(
            f"the index of {table} by {name!r} is not possible: the field {why}; there are {', '.join(fields)}"
            f"{did_you_mean(plain, fields)}"
        )
    return SortField(fields[plain], str(name).startswith("-"))


def index_text(index: TableIndex) -> str:
    """Such as `status,-placed`."""
    return ",".join(map(str, index))


def advised_index(query: Query) -> Sequence[str]:
    """The fields of an index that would answer a question soon; none, where no index helps."""
    equal = [it.field.name for it in query.filters if it.operator in (EQUAL, "in") and it.field.path]
    ranges = [it.field.name for it in query.filters if _is_range(it) and it.field.path and it.field.name not in equal]
    sort = [str(it) for it in query.sort if it.field.path and it.field.name not in equal]
    return [*dict.fromkeys(equal), *(sort or ranges[:1])]


def _is_range(each: Filter) -> bool:
    return each.operator in ("lt", "lte", "gt", "gte", "startswith")
