"""Filters of rows: a field, an operator and a value of the field's type. They are joined by AND."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from streams.data import Record
from streams.errors import InvalidQuery, did_you_mean
from streams.query.row_fields import EQUAL, KINDS, OPERATORS, RowField, fields_of

MOST_FILTERS: Final = 20
MOST_VALUES: Final = 100
"""Values of `in` and `notin`."""
WHOLE_NUMBERS: Final = range(-(2**63), 2**63)
TYPES: Final = {kind: plain for plain, kind in KINDS.items()}
EXPECTED: Final = {
    "text": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "bytes": "bytes as base64",
    "time": "an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z,",
}
"""What a field holds, in words."""


class Filter(NamedTuple):
    """`value` is of the field's type; for `in` and `notin` a tuple of such, for `isnull` whether there is none.

    Equality takes None too: there is no value. `ne` and `notin` hold for every row for which equality and `in` do not, so also
    for one without a value. All other operators hold for no row without a value.
    """

    field: RowField
    operator: str
    value: Any

    def holds(self, key: str, row: Any) -> bool:
        return compared(self.operator, self.field.value(key, row), self.value)


def compared(operator: str, found: Any, wanted: Any) -> bool:
    """Whether a value that was found in a row is as wanted."""
    always = ALWAYS.get(operator)
    if always is not None:
        return bool(always(found, wanted))
    return found is not None and bool(OF_VALUES[operator](found, wanted))


ALWAYS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    EQUAL: operators.eq,
    "ne": operators.ne,
    "in": lambda found, wanted: found in wanted,
    "notin": lambda found, wanted: found not in wanted,
    "isnull": lambda found, wanted: (found is None) is wanted,
}
OF_VALUES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": operators.lt,
    "lte": operators.le,
    "gt": operators.gt,
    "gte": operators.ge,
    "startswith": lambda found, wanted: found.startswith(wanted),
    "contains": operators.contains,
    "has": operators.contains,
}
"""Those that hold for no row without a value."""


def hold(filters: Iterable[Filter], key: str, row: Any) -> bool:
    """Whether a row is as all of them say."""
    return all(each.holds(key, row) for each in filters)


def filters_of(row_type: type[Record], given: Mapping[str, Any]) -> Sequence[Filter]:
    """From Python's own values: `{"customer": "c7", "total__gte": 5}`. Raises InvalidQuery."""
    found = []
    for name, value in given.items():
        field, operator = named(name, fields_of(row_type))
        found.append(Filter(field, operator, _checked(name, field, operator, value)))
    return tuple(found)


def named(name: str, fields: Mapping[str, RowField], besides: Sequence[str] = ()) -> tuple[RowField, str]:
    """The field and the operator of `total__gte`. A field whose name has `__` is looked for whole first.

    `besides` are names that the message lists too. Raises InvalidQuery.
    """
    field, operator = fields.get(name), EQUAL
    if field is None:
        before, _, operator = name.rpartition("__")
        field = fields.get(before)
    if field is None:
        raise unknown_field(name, fields, besides)
    if operator not in operators_of(field) or (operator == EQUAL and name not in fields):
        raise _wrong_operator(name, field, operator)
    return field, operator


def operators_of(field: RowField) -> tuple[str, ...]:
    """All operators that it has, equality among them."""
    return (EQUAL, *OPERATORS[field.kind]) if field.is_scalar else OPERATORS[field.kind]


def unknown_field(name: str, fields: Mapping[str, RowField], besides: Sequence[str] = ()) -> InvalidQuery:
    """Names those that there are, and the nearest."""
    asked = [f"{each}__has" if field.kind == "array" else each for each, field in fields.items() if operators_of(field)]
    known = [*asked, *besides]
    tried = name if "__" not in name or name.startswith("_") else name.rpartition("__")[0]
    near = did_you_mean(name, known) or did_you_mean(tried, known)
    what = "parameter" if besides else "field"
    return InvalidQuery(f"{name[:100]!r} is no {what} here; there are {', '.join(known)}{near}", name[:100], "unknown-field")


def _wrong_operator(name: str, field: RowField, operator: str) -> InvalidQuery:
    there = OPERATORS[field.kind]
    if field.kind == "other":
        what = f"{field.name!r} holds more than one value, so rows cannot be chosen by it: name a field inside it, or write a view"
    elif operator == EQUAL:
        what = f"{field.name!r} is a list, so it is not compared as a whole: {field.name}__has finds rows by what is in it"
    else:
        near = did_you_mean(operator, there)
        what = f"{name[:100]!r}: the field {field.name!r} has no operator {operator[:40]!r}; it has {', '.join(there)}{near}"
    return InvalidQuery(what, name[:100], "wrong-operator")


def wrong_value(name: str, shown: str, expected: str) -> InvalidQuery:
    return InvalidQuery(f"the parameter {name[:100]!r} is {shown}; {expected} was expected", name[:100], "wrong-value")


def expected_of(field: RowField, *, or_nothing: bool = False) -> str:
    """What a field holds, in words."""
    words = f"one of {', '.join(field.symbols)}" if field.kind == "enum" else EXPECTED[field.kind]
    return f"{words.removesuffix(',')} or nothing" if or_nothing else words


def _checked(name: str, field: RowField, operator: str, value: Any) -> Any:
    """A value of Python's own, if it is of the field's type."""
    if operator == "isnull":
        if not isinstance(value, bool):
            raise wrong_value(name, f"{value!r:.80}", "True or False")
        return value
    if operator in ("in", "notin"):
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise wrong_value(name, f"{value!r:.80}", "a list of values")
        values = tuple(value)
        if len(values) > MOST_VALUES:
            raise wrong_value(name, f"a list of {len(values)} values", f"at most {MOST_VALUES}")
        return tuple(_single(name, field, each, nothing=field.optional) for each in values)
    held = field.item if operator == "has" and field.item is not None else field
    return _single(name, held, value, nothing=operator in (EQUAL, "ne") and field.optional)


def _single(name: str, field: RowField, value: Any, *, nothing: bool) -> Any:
    if (value is None and nothing) or is_of(field, value):
        return value
    raise wrong_value(name, f"{value!r:.80}", expected_of(field, or_nothing=nothing))


def is_of(field: RowField, value: Any) -> bool:
    """Whether a value is one that the field may hold."""
    match field.kind:
        case "text":
            return isinstance(value, str) and _is_utf8(value)
        case "enum":
            return isinstance(value, str) and value in field.symbols
        case "int":
            return type(value) is int and value in WHOLE_NUMBERS
        case "float":
            return type(value) in (int, float) and _is_double(value)
        case "time":
            return isinstance(value, datetime) and _is_moment(value)
        case kind:
            return type(value) is TYPES[kind]


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_moment(time: datetime) -> bool:
    """Whether it has a zone, and is of the years that there are in UTC."""
    try:
        return time.utcoffset() is not None and time.astimezone(UTC) is not None
    except OverflowError:
        return False


def _is_double(value: float) -> bool:
    """Whether 64 bits hold it; what is not a number equals nothing, itself included."""
    try:
        return float(value) == value
    except OverflowError:
        return False
