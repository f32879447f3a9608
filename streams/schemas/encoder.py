"""From data to canonical Avro bytes: one function per type, put together once per class.

Constructors do not validate, so this is where emissions and rows are checked; checking and writing are one pass. The
bytes are those of fastavro's writer, which `tests/unit/test_codec.py` compares.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from streams.data import Record
from streams.errors import InvalidEvent
from streams.schemas.avro import RANGES, AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of
from streams.schemas.varint import write_long

Write = Callable[[Any], bytes]
"""A value in, its Avro bytes out; raises InvalidEvent naming the field."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
SHORT: Final = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 80


def shown(value: object) -> str:
    """A value for a message, at most some hundred characters."""
    return f"{SHORT.repr(value)[:300]} ({type(value).__name__})"


def refused(where: str, value: object, expected: str) -> InvalidEvent:
    return InvalidEvent(f"{where} is {shown(value)}; expected {expected}")


LENGTHS: Final = [write_long(n) for n in range(1024)]
"""Counts and lengths, ready made."""
NONE, SOME, NOTHING, YES = b"\x00", b"\x02", b"\x00", b"\x01"
EIGHT = struct.Struct("<d").pack
FOUR = struct.Struct("<f")


def writer_of(kind: AvroType, where: str, hint: Any = None) -> Write:
    """`where` is the path of the field for messages; `hint` its annotation, which names the classes of records."""
    write = _plain_writer(kind, where, hint)
    if not kind.nullable:
        return write

    def write_nullable(value: Any) -> bytes:
        return NONE if value is None else SOME + write(value)

    return write_nullable


def _plain_writer(kind: AvroType, where: str, hint: Any) -> Write:
    match kind.kind:
        case "string":
            return _string(where)
        case "int" | "long":
            return _number(kind.kind, where)
        case "timestamp-micros" | "timestamp-millis":
            return _timestamp(1 if kind.kind == "timestamp-micros" else 1000, where)
        case "float" | "double":
            return _floating(kind.kind, where)
        case "boolean":
            return _boolean(where)
        case "bytes":
            return _bytes(where)
        case "enum":
            return _enum(kind.symbols, where)
        case "array":
            return _array(kind, where, hint)
        case "map":
            return _map(kind, where, hint)
        case _:
            assert kind.record is not None
            return record_writer(kind.record, record_hint(hint), where)


def record_writer(record: RecordType, cls: type[Record], where: str) -> Write:
    """Writes exactly `cls`; a null or another class is refused."""
    hints = structure_of(record, cls)
    names = [field.name for field in record.fields]
    writers = [writer_of(field.type, f"{where}.{field.name}", hints[field.name]) for field in record.fields]
    if len(names) == 1:
        only_value, only_write = attrgetter(names[0]), writers[0]

        def write_one(value: Any) -> bytes:
            if type(value) is not cls:
                raise refused(where, value, f"a {cls.__name__}")
            return only_write(only_value(value))

        return write_one
    values = attrgetter(*names)

    def write(value: Any) -> bytes:
        if type(value) is not cls:
            raise refused(where, value, f"a {cls.__name__}")
        return b"".join([write(field) for write, field in zip(writers, values(value), strict=True)])

    return write


def _string(where: str) -> Write:
    def write(value: Any) -> bytes:
        if type(value) is not str:
            raise refused(where, value, "a string")
        try:
            body = value.encode()
        except UnicodeEncodeError as error:
            raise refused(where, value, "text that UTF-8 can write (this has half a surrogate pair)") from error
        length = len(body)
        return (LENGTHS[length] if length < 1024 else write_long(length)) + body

    return write


def _bytes(where: str) -> Write:
    def write(value: Any) -> bytes:
        if type(value) is not bytes:
            raise refused(where, value, "bytes")
        return write_long(len(value)) + value

    return write


def _number(kind: str, where: str) -> Write:
    low, high = RANGES[kind]

    def write(value: Any) -> bytes:
        if type(value) is not int or not low <= value <= high:
            raise refused(where, value, f"a whole number from {low} to {high}")
        return LENGTHS[value] if 0 <= value < 1024 else write_long(value)

    return write


def _floating(kind: str, where: str) -> Write:
    """A whole number is taken if it loses nothing; -0.0 is written as 0.0 (adding 0.0 makes it so)."""
    four = kind == "float"

    def write(value: Any) -> bytes:
        if type(value) is int and -(2**53) <= value <= 2**53:
            value = float(value)
        if type(value) is not float or value != value:
            raise refused(where, value, "a number that is not NaN")
        if not four:
            return EIGHT(value + 0.0)
        try:
            short = FOUR.pack(value + 0.0)
        except OverflowError as error:
            raise refused(where, value, 'a number that 32 bits hold: or make the field a "double"') from error
        if FOUR.unpack(short)[0] != value:
            raise refused(where, value, 'a number that 32 bits hold exactly: or make the field a "double"')
        return short

    return write


def _boolean(where: str) -> Write:
    def write(value: Any) -> bytes:
        if type(value) is not bool:
            raise refused(where, value, "True or False")
        return YES if value else NOTHING

    return write


def _timestamp(unit: int, where: str) -> Write:
    """`unit` in µs. A finer time than the unit is refused: it would change between memory and table."""

    def write(value: Any) -> bytes:
        if type(value) is not datetime or value.tzinfo is None:
            raise refused(where, value, "a datetime with a time zone")
        count = (value - EPOCH) // MICROSECOND
        if unit == 1:
            return write_long(count)
        if count % unit:
            raise refused(where, value, "a time in whole milliseconds: or make the field timestamp-micros")
        return write_long(count // unit)

    return write


def _enum(symbols: tuple[str, ...], where: str) -> Write:
    written = {symbol: write_long(index) for index, symbol in enumerate(symbols)}

    def write(value: Any) -> bytes:
        if type(value) is not str or value not in written:
            raise refused(where, value, f"one of {', '.join(symbols)}")
        return written[value]

    return write


def _array(kind: AvroType, where: str, hint: Any) -> Write:
    assert kind.item is not None
    item = writer_of(kind.item, f"{where}[]", item_hint(hint))

    def write(value: Any) -> bytes:
        if type(value) not in (tuple, list):
            raise refused(where, value, "a tuple")
        return b"".join([write_long(len(value)), *map(item, value), NOTHING]) if value else NOTHING

    return write


def _map(kind: AvroType, where: str, hint: Any) -> Write:
    assert kind.item is not None
    item, key = writer_of(kind.item, f"{where}{{}}", item_hint(hint)), _string(f"a key of {where}")

    def write(value: Any) -> bytes:
        if type(value) not in (dict, MappingProxyType) and not isinstance(value, Mapping):
            raise refused(where, value, "a mapping from strings")
        if not value:
            return NOTHING
        written = sorted((key(name), name) for name in value)
        return b"".join([write_long(len(written)), *(part + item(value[name]) for part, name in written), NOTHING])

    return write
