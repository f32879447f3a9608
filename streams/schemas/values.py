"""Validates values and converts them to one form: a check for each type, composed once per class.

Constructors do not validate, and fastavro encodes values that it should not (True as a number, a NaN, 64 bits in an int). So
everything that is encoded, decoded or kept in a table is checked here, and live and restored rows cannot differ. Lists become
tuples; dicts become read-only mappings sorted by key; times get the zone UTC and no `fold`, and lose what is finer than their
field (ADR 20); whole numbers in float fields become floats; -0.0 becomes 0.0. A read-only mapping over something else than a
plain dict becomes one over that: a Counter has a value for names that no restored row has.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from gc import get_referents
from operator import attrgetter, is_
from types import MappingProxyType
from typing import Any, Final

import msgspec

from streams.data import Record
from streams.errors import InvalidEvent
from streams.schemas.avro import RANGES, AvroType, RecordType, rounded_to_four
from streams.schemas.classes import item_hint, record_hint, structure_of

Check = Callable[[Any], Any]
"""Returns the value in its one form, the same object if it has that form; raises InvalidEvent naming the field."""
Refuse = Callable[[Any], None]
"""Raises InvalidEvent naming the field, for a value in its one form."""

EXACT: Final[dict[str, tuple[type, str]]] = {"boolean": (bool, "True or False"), "bytes": (bytes, "bytes")}
SHORT: Final = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 80


def shown(value: object) -> str:
    """A value for a message, at most some hundred characters."""
    return f"{SHORT.repr(value)[:300]} ({type(value).__name__})"


def refused(where: str, value: object, expected: str) -> InvalidEvent:
    return InvalidEvent(f"{where} is {shown(value)}; expected {expected}")


def record_check(record: RecordType, cls: type[Record], where: str) -> Check:
    """The check of records of exactly `cls`. `where` is the path of the field for messages."""
    hints = structure_of(record, cls)
    kinds = {field.name: field.type for field in record.fields}
    names = cls.__struct_fields__
    checks = [_check(kinds[name], f"{where}.{name}", hints[name]) for name in names]

    def check(value: Any) -> Any:
        if type(value) is not cls:
            raise refused(where, value, f"a {cls.__name__}")
        old = msgspec.structs.astuple(value)
        new = [check(part) for check, part in zip(checks, old, strict=True)]
        return value if all(map(is_, old, new)) else cls(**dict(zip(names, new, strict=True)))

    return check


PLAIN: Final = frozenset({"string", "boolean", "bytes", "long", "enum"})
"""Kinds whose values, if they have the right class, are in their one form, or are refused by fastavro when they are encoded."""
SHAPES: Final = 64


def quick_check(record: RecordType, cls: type[Record], strict: Check) -> Check:
    """As `strict`, but after a record with the same types of fields passed once, only what types do not determine is checked.

    A flat row costs 0.6 µs instead of 4. Some invalid values pass (half a surrogate pair, an unknown symbol, more than 64
    bits): the encoder refuses them.
    """
    kinds = {field.name: field.type for field in record.fields}
    names = cls.__struct_fields__
    checks = [_check(kinds[name], name, hint) for name, hint in _hints(record, cls)]
    others = [(at, checks[at]) for at, name in enumerate(names) if kinds[name].kind not in PLAIN]
    shapes: set[tuple[type, ...]] = set()

    def check(value: Any) -> Any:
        if type(value) is not cls:
            return strict(value)
        old = msgspec.structs.astuple(value)
        shape = tuple(map(type, old))
        if shape in shapes and all(check(old[at]) is old[at] for at, check in others):
            return value
        new = strict(value)
        if new is value and len(shapes) < SHAPES:
            shapes.add(shape)
        return new

    return check


def finer_check(record: RecordType) -> Refuse | None:
    """For what somebody publishes and `record_check` has passed: raises InvalidEvent for a time finer than its field.

    The publisher can still mend it. None if no field has milliseconds.
    """
    return _refusals(record, frozenset({"timestamp-millis"}), record.name, _refuse_finer)


def finite_check(record: RecordType) -> Refuse | None:
    """For what is published or returned and `record_check` has passed: raises InvalidEvent for an infinite number.

    JSON has none. What earlier versions have kept is still read. None if no field has numbers with a fraction.
    """
    return _refusals(record, frozenset({"float", "double"}), record.name, _refuse_infinite)


def _refuse_finer(where: str, value: datetime) -> None:
    if value.microsecond % 1000:
        raise refused(where, value, "a time in whole milliseconds: or make the field timestamp-micros")


def _refuse_infinite(where: str, value: float) -> None:
    if not math.isfinite(value):
        raise refused(where, value, "a number that is neither NaN nor infinite")


def _refusals(record: RecordType, kinds: Collection[str], where: str, refuse: Callable[[str, Any], None]) -> Refuse | None:
    """One for all values of these kinds in a record. None if it can have none."""
    found = [
        (attrgetter(field.name), each)
        for field in record.fields
        if (each := _refusals_in(field.type, kinds, f"{where}.{field.name}", refuse)) is not None
    ]

    def check(value: Any) -> None:
        for part, each in found:
            if (inner := part(value)) is not None:
                each(inner)

    return check if found else None


def _refusals_in(kind: AvroType, kinds: Collection[str], where: str, refuse: Callable[[str, Any], None]) -> Refuse | None:
    if kind.kind in kinds:
        return partial(refuse, where)
    if kind.record is not None:
        return _refusals(kind.record, kinds, where, refuse)
    if kind.item is None:
        return None
    is_map = kind.kind == "map"
    each = _refusals_in(kind.item, kinds, where + ("{}" if is_map else "[]"), refuse)

    def check(value: Any) -> None:
        for item in value.values() if is_map else value:
            if item is not None:
                each(item)  # type: ignore[misc]  # it is some

    return None if each is None else check


def _hints(record: RecordType, cls: type[Record]) -> list[tuple[str, Any]]:
    hints = structure_of(record, cls)
    return [(name, hints[name]) for name in cls.__struct_fields__]


def _check(kind: AvroType, where: str, hint: Any) -> Check:
    """`hint` is the annotation of the field, which names the classes of records."""
    check = _plain_check(kind, where, hint)
    return (lambda value: None if value is None else check(value)) if kind.nullable else check


def _plain_check(kind: AvroType, where: str, hint: Any) -> Check:
    match kind.kind:
        case "string":
            return _string(where)
        case "int" | "long":
            return _number(kind.kind, where)
        case "timestamp-micros" | "timestamp-millis":
            return _time(kind.kind == "timestamp-millis", where)
        case "float" | "double":
            return _floating(kind.kind == "float", where)
        case "enum":
            return _enum(kind.symbols, where)
        case "array":
            assert kind.item is not None
            return _array(_check(kind.item, f"{where}[]", item_hint(hint)), where)
        case "map":
            assert kind.item is not None
            return _map(_check(kind.item, f"{where}{{}}", item_hint(hint)), where)
        case "record":
            assert kind.record is not None
            return record_check(kind.record, record_hint(hint), where)
        case exact:
            return _exact(*EXACT[exact], where)


def _string(where: str) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not str:
            raise refused(where, value, "a string")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise refused(where, value, "text that UTF-8 can write (this has half a surrogate pair)") from error
        return value

    return check


def _exact(cls: type, words: str, where: str) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not cls:
            raise refused(where, value, words)
        return value

    return check


def _number(kind: str, where: str) -> Check:
    low, high = RANGES[kind]

    def check(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise refused(where, value, f"a whole number from {low} to {high}")
        return value

    return check


def _floating(four: bool, where: str) -> Check:
    """A whole number is accepted if it loses nothing. `four`: the field has four bytes."""

    def check(value: Any) -> Any:
        if type(value) is int:
            value = _exact_float(value, where)
        if type(value) is not float or value != value:
            raise refused(where, value, "a number that is not NaN")
        if four and rounded_to_four(value) != value:
            raise refused(where, value, 'a number that 32 bits hold exactly: or make the field a "double"')
        return 0.0 if value == 0.0 and math.copysign(1.0, value) < 0 else value

    return check


def _exact_float(value: int, where: str) -> float:
    with suppress(OverflowError):
        if (found := float(value)) == value:
            return found
    raise refused(where, value, "a number that 64 bits hold exactly")


def _time(millis: bool, where: str) -> Check:
    """With `millis`, what is finer is cut off, towards the past: a handler has no other time than its event's, in µs."""

    def check(value: Any) -> Any:
        if type(value) is not datetime:
            raise refused(where, value, "a datetime with a time zone")
        if value.tzinfo is not UTC or value.fold:
            value = _in_utc(value, where)
        if millis and (finer := value.microsecond % 1000):
            value = value.replace(microsecond=value.microsecond - finer)
        return value

    return check


def _in_utc(value: datetime, where: str) -> datetime:
    try:
        if value.utcoffset() is not None:
            return value.astimezone(UTC).replace(fold=0)
    except OverflowError as error:
        raise refused(where, value, "a time of the years 1 to 9999 in UTC") from error
    except Exception as error:  # a zone is anybody's class
        raise refused(where, value, f"a datetime whose time zone says its offset ({type(error).__name__}: {error})") from error
    raise refused(where, value, "a datetime with a time zone")


def _enum(symbols: tuple[str, ...], where: str) -> Check:
    known = frozenset(symbols)

    def check(value: Any) -> Any:
        if type(value) is not str or value not in known:
            raise refused(where, value, f"one of {', '.join(symbols)}")
        return value

    return check


def _array(item: Check, where: str) -> Check:
    def check(value: Any) -> Any:
        if type(value) not in (tuple, list):
            raise refused(where, value, "a tuple")
        new = tuple(map(item, value))
        return value if type(value) is tuple and all(map(is_, value, new)) else new

    return check


def _map(item: Check, where: str) -> Check:
    key = _string(f"a key of {where}")

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise refused(where, value, "a mapping from strings")
        names = sorted(map(key, value))
        new = {name: item(value[name]) for name in names}
        same = type(value) is MappingProxyType and type(get_referents(value)[0]) is dict and names == list(value)
        return value if same and all(value[name] is new[name] for name in names) else MappingProxyType(new)

    return check
