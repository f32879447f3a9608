"""Lines of generated code that check a value and write its bytes; see streams/schemas/generated_code.py.

They raise Uncommon, or anything else, for a value that is not in its one form: then it is left to the careful functions.
"""

from __future__ import annotations

import datetime as dates
import struct
import types
from gc import get_referents
from typing import Any, Final

from streams.data import Record
from streams.schemas.avro import EPOCH, RANGES, AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of
from streams.schemas.code_lines import Code, Uncommon

FIXED: Final = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
SMALL: Final = 8192


def zigzag(number: int) -> bytes:
    """A whole number of 64 bits as Avro writes it."""
    if not -(2**63) <= number < 2**63:
        raise Uncommon
    left = number << 1 ^ number >> 63
    written = bytearray()
    while left > 127:
        written.append(left & 127 | 128)
        left >>= 7
    written.append(left)
    return bytes(written)


LONGS: Final = tuple(map(zigzag, range(SMALL)))
"""The bytes of small numbers, which are most counts and lengths."""

NAMES: Final = {
    "zigzag": zigzag, "LONGS": LONGS, "EPOCH": EPOCH, "UTC": dates.UTC, "datetime": dates.datetime,
    "proxy": types.MappingProxyType, "inside": get_referents, "Uncommon": Uncommon,
}  # fmt: skip
"""What the lines use."""


def write_record(code: Code, record: RecordType, cls: type[Record], value: str) -> list[str]:
    """Lines that check the fields; returns the expressions of their bytes."""
    code.line(f"if type({value}) is not {code.keep(cls)}: raise Uncommon")
    hints = structure_of(record, cls)
    parts = []
    for field in record.fields:
        name = code.new()
        code.line(f"{name} = {value}.{field.name}")
        parts += write_value(code, field.type, hints[field.name], name)
    return parts


def write_value(code: Code, kind: AvroType, hint: Any, value: str) -> list[str]:
    if not kind.nullable:
        return write_plain(code, kind, hint, value)
    branches = [LONGS[kind.null_at], LONGS[1 - kind.null_at]]
    null, other = map(code.keep, branches)
    into = code.new("b")
    code.line(f"if {value} is None: {into} = {null}")
    with code.block("else:"):
        parts = write_plain(code, kind, hint, value)
        code.line(f"{into} = b''.join(({other}, {', '.join(parts)},))")
    return [into]


def write_plain(code: Code, kind: AvroType, hint: Any, value: str) -> list[str]:
    match kind.kind:
        case "string" | "bytes":
            plain = "str" if kind.kind == "string" else "bytes"
            code.line(f"if type({value}) is not {plain}: raise Uncommon")
            if plain == "str":
                code.line(f"{value} = {value}.encode()")
            length = code.new("n")
            code.line(f"{length} = len({value})")
            return [_long(length), value]
        case "boolean":
            code.line(f"if type({value}) is not bool: raise Uncommon")
            return [f"{code.keep((bytes(1), bytes([1])))}[{value}]"]
        case "int" | "long":
            low, high = RANGES[kind.kind]
            code.line(f"if type({value}) is not int or not {low} <= {value} <= {high}: raise Uncommon")
            return [_long(value)]
        case "float" | "double":
            return _write_floating(code, kind.kind, value)
        case "timestamp-micros" | "timestamp-millis":
            return _write_time(code, kind.kind, value)
        case "enum":
            code.line(f"if type({value}) is not str: raise Uncommon")
            symbols = {symbol: zigzag(number) for number, symbol in enumerate(kind.symbols)}
            return [f"{code.keep(symbols)}[{value}]"]
        case _:
            return [_write_compound(code, kind, hint, value)]


def _long(value: str) -> str:
    return f"(LONGS[{value}] if 0 <= {value} < {SMALL} else zigzag({value}))"


def _write_floating(code: Code, kind: str, value: str) -> list[str]:
    into, fixed = code.new("b"), FIXED[kind]
    code.line(f"if type({value}) is not float or {value} - {value}: raise Uncommon")  # NaN, and so is inf - inf
    code.line(f"{into} = {code.keep(fixed.pack)}({value})")
    code.line(f"if not {value} and {into}[-1]: raise Uncommon")  # -0.0
    if kind == "float":
        code.line(f"if {code.keep(fixed.unpack)}({into})[0] != {value}: raise Uncommon")
    return [into]


def _write_time(code: Code, kind: str, value: str) -> list[str]:
    number = code.new("n")
    code.line(f"if type({value}) is not datetime or {value}.tzinfo is not UTC or {value}.fold: raise Uncommon")
    code.line(f"d = {value} - EPOCH")
    if kind == "timestamp-millis":
        code.line("if d.microseconds % 1000: raise Uncommon")
        code.line(f"{number} = (d.days * 86400 + d.seconds) * 1000 + d.microseconds // 1000")
        return [_long(number)]
    code.line(f"{number} = (d.days * 86400 + d.seconds) * 1000000 + d.microseconds")
    code.line(f"z = {number} + {number}")  # zigzag of what is not negative
    with code.block("if 0x2000000000000 <= z < 0x100000000000000:"):  # eight bytes
        steps = (f"z >> {7 * step} & 127 | 128" for step in range(7))
        code.line(f"{number} = bytes(({', '.join(steps)}, z >> 49))")
    code.line(f"else: {number} = zigzag({number})")
    return [number]


def _write_compound(code: Code, kind: AvroType, hint: Any, value: str) -> str:
    name = code.new("write")

    def body() -> None:
        if kind.record is not None:
            parts = write_record(code, kind.record, record_hint(hint), "r")
            code.line(f"return b''.join(({', '.join(parts)},))")
        else:
            _write_items(code, kind, hint)

    code.function(f"def {name}(r):", body)
    return f"{name}({value})"


def _write_items(code: Code, kind: AvroType, hint: Any) -> None:
    """Lines that return the bytes of the array or the map `r`."""
    assert kind.item is not None
    is_map = kind.kind == "map"
    code.line(f"if type(r) is not {'proxy or type(inside(r)[0]) is not dict' if is_map else 'tuple'}: raise Uncommon")
    code.line(f"if not r: return {code.keep(bytes(1))}")
    code.line("count = len(r)")
    code.line(f"parts = [{_long('count')}]")
    code.line("last = None")
    with code.block("for name, item in r.items():" if is_map else "for item in r:"):
        parts = []
        if is_map:
            code.line("if last is not None and not last < name: raise Uncommon")
            code.line("last = name")
            parts += write_plain(code, AvroType("string"), str, "name")
        parts += write_value(code, kind.item, item_hint(hint), "item")
        code.line(f"parts += ({', '.join(parts)},)")
    code.line(f"parts.append({code.keep(bytes(1))})")
    code.line("return b''.join(parts)")
