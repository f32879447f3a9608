"""From Avro bytes to frozen data: one function per pair of writer's and reader's type, put together once per schema.

A reader takes (bytes, position) and gives (value, next position). Whatever is wrong with the bytes shows as an
IndexError, ValueError, struct.error or OverflowError; the codec makes one sentence of it. Every item of an array or map
takes a byte at least, so an absurd count ends with the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from streams.data import Record
from streams.schemas.avro import RANGES, AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of
from streams.schemas.varint import read_eight, read_long

Read = Callable[[bytes, int], tuple[Any, int]]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DOUBLE: Final = struct.Struct("<d").unpack_from
FLOAT: Final = struct.Struct("<f").unpack_from


def read_int(buffer: bytes, at: int) -> tuple[int, int]:
    number, at = read_long(buffer, at)
    if not LOW <= number <= HIGH:
        raise ValueError(f"the number {number} in a field of 32 bits")
    return number, at


LOW, HIGH = RANGES["int"]


def read_bytes(buffer: bytes, at: int) -> tuple[bytes, int]:
    length = buffer[at]
    if length < 128:
        start = at + 1
        length = (length >> 1) ^ -(length & 1)
    else:
        length, start = read_long(buffer, at)
    end = start + length
    if length < 0 or end > len(buffer):
        raise ValueError(f"a length of {length} where {len(buffer) - start} bytes are left")
    return buffer[start:end], end


def read_string(buffer: bytes, at: int) -> tuple[str, int]:
    """Most strings have fewer than 64 bytes; where one ends beyond the buffer, the codec sees the position it gives."""
    length = buffer[at]
    if length < 128 and not length & 1:
        end = at + 1 + (length >> 1)
        return buffer[at + 1 : end].decode(), end
    body, end = read_bytes(buffer, at)
    return body.decode(), end


def read_boolean(buffer: bytes, at: int) -> tuple[bool, int]:
    byte = buffer[at]
    if byte > 1:
        raise ValueError(f"the byte {byte} where 0 or 1 belongs")
    return byte == 1, at + 1


def read_double(buffer: bytes, at: int) -> tuple[float, int]:
    return _number(DOUBLE(buffer, at)[0]), at + 8


def read_float(buffer: bytes, at: int) -> tuple[float, int]:
    return _number(FLOAT(buffer, at)[0]), at + 4


def _number(value: float) -> float:
    """-0.0 becomes 0.0: what is equal is written equally."""
    if value != value:
        raise ValueError("a number that is NaN")
    return value + 0.0


def read_micros(buffer: bytes, at: int) -> tuple[datetime, int]:
    number, at = read_eight(buffer, at)
    return EPOCH + timedelta(0, 0, number), at


def read_millis(buffer: bytes, at: int) -> tuple[datetime, int]:
    number, at = read_long(buffer, at)
    return EPOCH + timedelta(milliseconds=number), at


SIMPLE: Final[dict[str, Read]] = {
    "string": read_string,
    "bytes": read_bytes,
    "boolean": read_boolean,
    "int": read_int,
    "long": read_long,
    "float": read_float,
    "double": read_double,
    "timestamp-micros": read_micros,
    "timestamp-millis": read_millis,
}


def reader_of(writer: AvroType, reader: AvroType, hint: Any = None) -> Read:
    """Reads what `writer` describes as what `reader` describes; `hint` is the annotation of the reader's field."""
    read = _plain_reader(writer, reader, hint)
    if not writer.nullable:
        return read

    def read_nullable(buffer: bytes, at: int) -> tuple[Any, int]:
        branch = buffer[at]
        if branch == SOME:
            return read(buffer, at + 1)
        if branch != NONE:
            raise ValueError(f"the byte {branch} where a null or a value begins")
        return None, at + 1

    return read_nullable


NONE, SOME = 0, 2


def _plain_reader(writer: AvroType, reader: AvroType, hint: Any) -> Read:
    match writer.kind:
        case "record":
            assert writer.record is not None
            assert reader.record is not None
            return record_reader(writer.record, reader.record, record_hint(hint))
        case "array":
            return _array(writer, reader, hint)
        case "map":
            return _map(writer, reader, hint)
        case "enum":
            return _enum(writer.symbols, reader.symbols, reader.symbol_default)
        case kind if reader.kind in ("float", "double") and kind in ("int", "long"):
            return _promoted(SIMPLE[kind])
        case kind:
            return SIMPLE[kind]


def record_reader(writer: RecordType, reader: RecordType, cls: type[Record]) -> Read:
    """A field that only the writer has is read over; one that only the reader has takes the default of the class."""
    hints = structure_of(reader, cls)
    written = {field.name for field in writer.fields}
    wanted = {alias: field for field in reader.fields if field.name not in written for alias in field.aliases}
    wanted |= {field.name: field for field in reader.fields}
    steps: list[tuple[str, Read]] = []
    for field in writer.fields:
        if (target := wanted.get(field.name)) is None:
            steps.append(("", skipper_of(field.type)))
        else:
            steps.append((target.name, reader_of(field.type, target.type, hints[target.name])))
    if all(name for name, _ in steps):

        def read(buffer: bytes, at: int) -> tuple[Any, int]:
            data = {}
            for name, part in steps:
                data[name], at = part(buffer, at)
            return cls(**data), at

        return read

    def read_some(buffer: bytes, at: int) -> tuple[Any, int]:
        data = {}
        for name, part in steps:
            value, at = part(buffer, at)
            if name:
                data[name] = value
        return cls(**data), at

    return read_some


def skipper_of(kind: AvroType) -> Read:
    """Reads over a value of which no class is known; it is checked like any other."""
    if kind.nullable:
        branch = skipper_of(AvroType(kind.kind, False, kind.item, kind.record, kind.name, kind.symbols))
        return lambda buffer, at: branch(buffer, at + 1) if buffer[at] == SOME else (None, _null(buffer, at))
    if kind.kind == "record":
        assert kind.record is not None
        parts = [skipper_of(field.type) for field in kind.record.fields]

        def skip(buffer: bytes, at: int) -> tuple[None, int]:
            for part in parts:
                at = part(buffer, at)[1]
            return None, at

        return skip
    if kind.item is not None:
        item = skipper_of(kind.item)
        return _blocks(item) if kind.kind == "array" else _pairs(item)
    return reader_of(kind, kind)


def _null(buffer: bytes, at: int) -> int:
    if buffer[at] != NONE:
        raise ValueError(f"the byte {buffer[at]} where a null or a value begins")
    return at + 1


def _promoted(read: Read) -> Read:
    def read_promoted(buffer: bytes, at: int) -> tuple[float, int]:
        number, at = read(buffer, at)
        return float(number), at

    return read_promoted


def _enum(written: tuple[str, ...], known: tuple[str, ...], default: str | None) -> Read:
    symbols = [symbol if symbol in known else default for symbol in written]

    def read(buffer: bytes, at: int) -> tuple[Any, int]:
        index, at = read_long(buffer, at)
        if not 0 <= index < len(symbols):
            raise ValueError(f"the symbol number {index} of an enum with {len(symbols)}")
        return symbols[index], at

    return read


def _count(buffer: bytes, at: int) -> tuple[int, int]:
    """The items of the next block; a negative count is followed by the block's size in bytes."""
    count, at = read_long(buffer, at)
    if count < 0:
        _, at = read_long(buffer, at)
        return -count, at
    return count, at


def _blocks(item: Read) -> Read:
    def read(buffer: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        items: list[Any] = []
        count, at = _count(buffer, at)
        while count:
            for _ in range(count):
                value, at = item(buffer, at)
                items.append(value)
            count, at = _count(buffer, at)
        return tuple(items), at

    return read


def _pairs(item: Read) -> Read:
    def read(buffer: bytes, at: int) -> tuple[MappingProxyType[str, Any], int]:
        items: dict[str, Any] = {}
        count, at = _count(buffer, at)
        while count:
            for _ in range(count):
                name, at = read_string(buffer, at)
                items[name], at = item(buffer, at)
            count, at = _count(buffer, at)
        return MappingProxyType(items), at

    return read


def _array(writer: AvroType, reader: AvroType, hint: Any) -> Read:
    assert writer.item is not None
    assert reader.item is not None
    return _blocks(reader_of(writer.item, reader.item, item_hint(hint)))


def _map(writer: AvroType, reader: AvroType, hint: Any) -> Read:
    assert writer.item is not None
    assert reader.item is not None
    return _pairs(reader_of(writer.item, reader.item, item_hint(hint)))
