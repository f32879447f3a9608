"""Converts values from outside (texts, JSON, Avro) to an event's fields, by its schema's types. Errors name the column.

Values that are plainly right take a quick way (streams/eventfiles/quick_values.py), which is chosen once for each field.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from streams.data import EventData, Record
from streams.errors import InvalidEvent
from streams.eventfiles.numbers import TIME_EXPECTED, json_number, number, time, whole_number
from streams.eventfiles.quick_values import LEFT_OUT, UNSURE, quick_value
from streams.eventfiles.repeats import no_constant, no_repeats
from streams.eventfiles.texts import cut
from streams.schemas.avro import MISSING, RANGES, AvroType, Field, RecordType, is_number, parse
from streams.schemas.classes import item_hint, record_hint, structure_of

WORDS = {"true": True, "false": False}


class _At(NamedTuple):
    """A value's path, for messages, and whether numbers, booleans and times in it may be texts."""

    noun: str
    path: str
    texts: bool

    def below(self, name: str) -> _At:
        name = cut(name)
        return self._replace(path=f"{self.path}.{name}" if self.path else name)

    def __str__(self) -> str:
        return f"{self.noun} {self.path!r}"


class Converter:
    """Converts to one class of events. `texts`: all values are texts, as in CSV. `noun`: what messages call a field.

    `besides` are names that need not be fields, since they are read elsewhere.
    """

    def __init__(
        self, data: type[EventData], *, texts: bool, noun: str = "column", besides: Collection[str] = ()
    ) -> None:
        self.data, self.texts, self._at = data, texts, _At(noun, "", texts)
        self._record = parse(data.schemas[-1], written=True)
        self._hints = structure_of(self._record, data)
        self._fields = {field.name: field for field in self._record.fields}
        self.known = frozenset({*self._fields, *besides})
        self._ways = [(field, quick_value(field, texts=texts)) for field in self._record.fields]

    def __call__(self, values: Mapping[str, Any]) -> EventData:
        """The event's data. Raises InvalidEvent naming the column, its value and what was expected."""
        if not self.known.issuperset(values):
            unknown = next(name for name in values if name not in self.known)
            raise InvalidEvent(
                f"{self._at.below(unknown)} is no field of {self.data.event_type}{self._nearest(unknown)}; "
                f"its fields are {', '.join(self._fields)}",
                cut(unknown),
            )
        found = {}
        for field, quick in self._ways:
            name = field.name
            value = quick(values[name]) if name in values else UNSURE
            if value is UNSURE:
                value = _field(field, self._hints[name], values, self._at)
            if value is not LEFT_OUT:
                found[name] = value
        return self.data(**found)

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(cut(name), self._fields, n=1)
        return f" (did you mean {close[0]}?)" if close else ""


def _fields(record: RecordType, hints: Mapping[str, Any], values: Mapping[str, Any], at: _At) -> dict[str, Any]:
    found = {field.name: _field(field, hints[field.name], values, at) for field in record.fields}
    return {name: value for name, value in found.items() if value is not LEFT_OUT}


def _field(field: Field, hint: Any, values: Mapping[str, Any], at: _At) -> Any:
    """LEFT_OUT for the field's default."""
    if field.name not in values or _left_out(field, values[field.name], at.texts):
        if field.default is MISSING:
            below = at.below(field.name)
            raise InvalidEvent(f"{below} is missing; {_expected(field.type)} was expected", below.path)
        return LEFT_OUT
    return _value(field.type, hint, values[field.name], at.below(field.name))


def _left_out(field: Field, value: object, texts: bool) -> bool:
    """Whether an empty cell means the field's default: unless an empty text is a valid value."""
    return (
        texts and value == "" and field.default is not MISSING and (field.type.kind != "string" or field.type.nullable)
    )


def _value(kind: AvroType, hint: Any, value: Any, at: _At) -> Any:
    if value is None or (value == "" and at.texts and kind.nullable):
        if kind.nullable:
            return None
        raise _refusal(at, value, kind)
    if kind.kind in ("array", "map", "record"):
        return _compound(kind, hint, value, at)
    if isinstance(value, str) and kind.kind not in ("string", "enum"):
        return _from_text(kind, value, at)
    if not _natural(kind, value):
        raise _refusal(at, value, kind)
    return value


def _natural(kind: AvroType, value: Any) -> bool:
    match kind.kind:
        case "string":
            return isinstance(value, str)
        case "enum":
            return isinstance(value, str) and value in kind.symbols
        case "boolean":
            return isinstance(value, bool)
        case "bytes":
            return isinstance(value, bytes)
        case "float" | "double":
            return is_number(value) and _is_finite(value)
        case "timestamp-micros" | "timestamp-millis":
            return isinstance(value, datetime) and value.tzinfo is not None
        case number:
            low, high = RANGES[number]
            return type(value) is int and low <= value <= high


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _from_text(kind: AvroType, text: str, at: _At) -> Any:
    """A value from a text: times and bytes are texts in JSON too; numbers and booleans only where all values are texts."""
    if not at.texts and kind.kind in ("int", "long", "float", "double", "boolean"):
        raise _refusal(at, text, kind)
    try:
        value = SCALARS[kind.kind](text)
    except (ValueError, KeyError, binascii.Error):
        raise _refusal(at, text, kind) from None
    if not _natural(kind, value):
        raise _refusal(at, text, kind)
    return value


def _bytes(text: str) -> bytes:
    """Base64 in its one form: other texts of the same bytes are refused."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError(text)
    return found


SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "int": whole_number,
    "long": whole_number,
    "float": number,
    "double": number,
    "boolean": lambda text: WORDS[text.lower()],
    "bytes": _bytes,
    "timestamp-micros": time,
    "timestamp-millis": time,
}
"""A value from its text, by its Avro type. Each raises ValueError or KeyError."""


def _compound(kind: AvroType, hint: Any, value: Any, at: _At) -> Any:
    """An array, map or record; among texts it is written as JSON."""
    if isinstance(value, str) and at.texts:
        try:
            value = json.loads(
                value, object_pairs_hook=no_repeats, parse_constant=no_constant, parse_float=json_number
            )
        except (ValueError, RecursionError):
            raise _refusal(at, value, kind) from None
        at = at._replace(texts=False)
    if kind.kind == "array" and isinstance(value, list | tuple):
        assert kind.item is not None
        item = item_hint(hint)
        return tuple(_value(kind.item, item, one, at.below(str(number))) for number, one in enumerate(value, 1))
    if kind.kind == "map" and isinstance(value, Mapping):
        assert kind.item is not None
        item = item_hint(hint)
        return {str(name): _value(kind.item, item, one, at.below(str(name))) for name, one in value.items()}
    if kind.kind == "record" and isinstance(value, Mapping):
        return _record(kind, record_hint(hint), value, at)
    raise _refusal(at, value, kind)


def _record(kind: AvroType, cls: type[Record], value: Mapping[str, Any], at: _At) -> Record:
    assert kind.record is not None
    known = {field.name for field in kind.record.fields}
    if (unknown := next((name for name in value if name not in known), None)) is not None:
        raise InvalidEvent(
            f"{at} has no field {cut(unknown)!r}; its fields are {', '.join(sorted(known))}", at.below(unknown).path
        )
    return cls(**_fields(kind.record, structure_of(kind.record, cls), value, at))


def _refusal(at: _At, value: object, kind: AvroType) -> InvalidEvent:
    text = repr(value)
    shown = text if len(text) <= 80 else f"{text[:77]}…"
    return InvalidEvent(f"{at} is {shown}; {_expected(kind)} was expected", at.path)


def _expected(kind: AvroType) -> str:
    match kind.kind:
        case "int" | "long":
            low, high = RANGES[kind.kind]
            words = f"a whole number from {low} to {high}"
        case "float" | "double":
            words = "a number"
        case "boolean":
            words = "true or false"
        case "bytes":
            words = "bytes, in a text as base64,"
        case "timestamp-micros" | "timestamp-millis":
            words = TIME_EXPECTED
        case "enum":
            words = f"one of {', '.join(kind.symbols)}"
        case "array" | "map" | "record":
            words = f"JSON for the {kind.kind}"
        case _:
            words = "a text"
    return f"{words} or nothing" if kind.nullable and not words.endswith(",") else words
