"""A question to a table from texts: the parameters of an address, or the options of a command.

`field=value` and `field__op=value` choose rows; `_sort`, `_limit`, `_next`, `_select`, `_count` and `_facet` say the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import msgspec

from streams.data import Record
from streams.errors import UNREADABLE_JSON, InvalidQuery, did_you_mean
from streams.eventfiles.convert import SCALARS
from streams.query.cursors import place_of
from streams.query.filters import (
    MOST_FILTERS,
    MOST_VALUES,
    WHOLE_NUMBERS,
    Filter,
    expected_of,
    is_of,
    named,
    unknown_field,
    wrong_value,
)
from streams.query.query import LIMIT, MOST, MOST_FACETS, MOST_SORTED, Query, SortField
from streams.query.row_fields import EQUAL, KEY, RowField, fields_of

OURS: Final = ("_sort", "_limit", "_next", "_select", "_count", "_facet")
AVRO: Final = {"int": "long", "float": "double", "bool": "boolean", "bytes": "bytes", "time": "timestamp-micros"}
"""How a value is written in a filter: as in a file."""
FLAG: Final = RowField("isnull", (), "bool")
LIST: Final = list[str | int | float | bool | None]
Pairs = Iterable[tuple[str, str]]


def read_query(
    pairs: Pairs, row_type: type[Record], table: str, besides: Sequence[str] = (), always: Sequence[Filter] = ()
) -> Query:
    """`table` is what a cursor must be of; `besides` are parameters that messages list, and that are read elsewhere.

    `always` are filters that are joined to those that are given.

    Raises InvalidQuery, which names the parameter, its value and what was expected.
    """
    fields, ours, filters = fields_of(row_type), dict[str, str](), dict[str, str]()
    known = (*OURS, *besides)
    for name, text in pairs:
        if name.startswith("_") and not name.startswith(KEY.name) and name not in known:
            raise unknown_field(name, fields, known)
        place = ours if name in known else filters
        if name in place:
            raise InvalidQuery(f"the parameter {name[:100]!r} is given twice; one value was expected", name[:100], "given-twice")
        place[name] = text
    query = Query(
        (*filters_of_texts(filters, fields, known), *always),
        sort_of(ours["_sort"], fields) if "_sort" in ours else (),
        _limit(ours["_limit"]) if "_limit" in ours else LIMIT,
        None,
        _selected(ours["_select"], fields) if "_select" in ours else None,
        _count(ours["_count"]) if "_count" in ours else None,
        _facets(ours["_facet"], fields) if "_facet" in ours else (),
    )
    return replace(query, after=place_of(table, query, ours["_next"])) if "_next" in ours else query


def filters_of_texts(
    given: Mapping[str, str], fields: Mapping[str, RowField], besides: Sequence[str] = ()
) -> Sequence[Filter]:
    """Filters by their names, such as `total__gte`. Raises InvalidQuery."""
    if len(given) > MOST_FILTERS:
        beyond = [*given][MOST_FILTERS][:100]
        raise InvalidQuery(f"there are {len(given)} filters; at most {MOST_FILTERS} were expected", beyond, "too-many-filters")
    found = []
    for name, text in given.items():
        field, operator = named(name, fields, besides)
        found.append(Filter(field, operator, _wanted(name, text, field, operator)))
    return tuple(found)


def sort_of(text: str, fields: Mapping[str, RowField], name: str = "_sort") -> Sequence[SortField]:
    """`status,-placed`. `name` is that of the parameter. Raises InvalidQuery."""
    found: list[SortField] = []
    for part in text.split(","):
        field = _scalar(name, part.removeprefix("-"), text, fields, "sorted")
        if any(each.field == field for each in found):
            raise InvalidQuery(f"{name} is {text[:80]!r}, which names {field.name} twice", name, "not-sortable")
        found.append(SortField(field, part.startswith("-")))
    if sum(each.field != KEY for each in found) > MOST_SORTED:
        raise InvalidQuery(
            f"{name} is {text[:80]!r}; at most {MOST_SORTED} fields, and {KEY.name}, were expected", name, "not-sortable"
        )
    return tuple(found)


def _scalar(parameter: str, name: str, text: str, fields: Mapping[str, RowField], use: str) -> RowField:
    field = fields.get(name)
    if field is None or not field.is_scalar:
        there = [each for each, it in fields.items() if it.is_scalar]
        what = "no field that there is" if field is None else "a field of more than one value"
        falling = ", with - before one to begin with the largest" if use == "sorted" else ""
        raise InvalidQuery(
            f"{parameter} is {text[:80]!r}, and {name[:80]!r} is {what}; rows are {use} by {', '.join(there)}{falling}"
            f"{did_you_mean(name, there)}", parameter, "unknown-field" if field is None else "not-sortable",
        )  # fmt: skip
    return field


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MOST):
        raise InvalidQuery(f"_limit is {text[:80]!r}; a whole number from 0 to {MOST} was expected", "_limit")
    return int(text)


def _selected(text: str, fields: Mapping[str, RowField]) -> Sequence[RowField]:
    there = [name for name, field in fields.items() if field.path]
    found: dict[str, RowField] = {}
    for name in text.split(","):
        if name not in there:
            near = did_you_mean(name, there)
            raise InvalidQuery(
                f"_select is {text[:80]!r}, and {name[:80]!r} is no field that there is; the fields are {', '.join(there)}{near}. "
                "The key and the version are always there", "_select", "unknown-field",
            )  # fmt: skip
        found[name] = fields[name]
    return tuple(found.values())


def _count(text: str) -> Literal["capped", "exact"]:
    if text == "capped" or text == "exact":
        return "capped" if text == "capped" else "exact"
    raise InvalidQuery(f"_count is {text[:80]!r}; capped (which ends at 10000) or exact was expected", "_count")


def _facets(text: str, fields: Mapping[str, RowField]) -> Sequence[RowField]:
    found = {name: _scalar("_facet", name, text, fields, "counted") for name in text.split(",")}
    if len(found) > MOST_FACETS:
        raise InvalidQuery(f"_facet is {text[:80]!r}; at most {MOST_FACETS} fields were expected", "_facet")
    return tuple(found.values())


def _wanted(name: str, text: str, field: RowField, operator: str) -> Any:
    if operator == "isnull":
        return _single(name, text, FLAG)
    if operator in ("in", "notin"):
        return tuple(None if each is None and field.optional else _single(name, each, field) for each in _listed(name, text))
    if operator in (EQUAL, "ne"):
        return None if text == "" and field.optional else _single(name, text, field, or_nothing=field.optional)
    return _single(name, text, field.item if field.item is not None else field)


def _listed(name: str, text: str) -> Sequence[str | None]:
    """`paid,reserving`, or a JSON list where a value has a comma."""
    found: Sequence[str | int | float | bool | None]
    try:
        found = msgspec.json.decode(text, type=LIST) if text.startswith("[") else text.split(",") if text else []
    except UNREADABLE_JSON:
        raise wrong_value(name, f"{text[:80]!r}", 'values with commas between them, or a JSON list such as ["a,b","c"],') from None
    if not 0 < len(found) <= MOST_VALUES:
        raise wrong_value(name, f"a list of {len(found)} values", f"1 to {MOST_VALUES} of them, with commas between them,")
    return [each if each is None or isinstance(each, str) else msgspec.json.encode(each).decode() for each in found]


def _single(name: str, text: str | None, field: RowField, *, or_nothing: bool = False) -> Any:
    """A value from its text. Rounded, or with a time without a zone, it would choose other rows in silence."""
    read: Callable[[str], Any] = SCALARS[AVRO[field.kind]] if field.kind in AVRO else str
    expected = expected_of(field, or_nothing=or_nothing)
    try:
        if text is not None and is_of(field, value := read(text)):
            return value
        if text is not None and field.kind == "int":
            expected = f"a whole number from {WHOLE_NUMBERS.start} to {WHOLE_NUMBERS.stop - 1}"
    except (ValueError, KeyError):
        pass
    error = wrong_value(name, "null" if text is None else f"{text[:80]!r}", expected)
    hint = " (+ in an address is %2B)" if field.kind == "time" else ""
    raise InvalidQuery(f"{error}{hint}", error.field, error.problem) from None
