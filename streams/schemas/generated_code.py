"""Python code generated for one schema, which decodes straight into the frozen record, and checks and encodes in one go.

It knows what is common. Whatever is not (a number in more bytes than usual, an unknown symbol, half a surrogate pair, bytes that
are left over, a value that must be converted) goes to the careful functions of streams/schemas/binary.py and values.py, from the
beginning: they remain the reference, for values, bytes and messages. A property compares both over every type.
"""

from __future__ import annotations

import datetime as dates
import struct
import types
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from streams.data import Record
from streams.schemas.avro import EPOCH, RANGES, AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of
from streams.schemas.code_lines import Code, Uncommon, suits
from streams.schemas.encoding_lines import FIXED, NAMES, write_record

R = TypeVar("R", bound=Record)
F = TypeVar("F")
Read = Callable[[bytes, int], Any]
Settle = Callable[[Any], tuple[Any, bytes]]
"""From a record to the same one in its one form, and its bytes."""


def _more(value: bytes, at: int, low: int) -> tuple[int, int]:
    """The number whose first two bytes, both with more to follow, are in `low`; `at` is behind them. Also the next position."""
    for shift in (14, 21, 28, 35, 42, 49, 56):
        byte = value[at]
        at += 1
        if byte < 128:
            low |= byte << shift
            return (low >> 1) ^ -(low & 1), at
        low |= (byte & 127) << shift
    raise Uncommon


class Generated(Generic[F]):
    """A function that is generated at its first use: a process uses few of those that it may need."""

    def __init__(self, make: Callable[[], F]) -> None:
        self._make = make
        self._made: F | None = None

    @property
    def function(self) -> F:
        """The function itself. Whoever calls it for each event keeps it, for that saves a call."""
        if self._made is None:
            self._made = self._make()
        return self._made


def reader_code(record: RecordType, cls: type[Record], careful: Read) -> Generated[Read]:
    """`careful`, but faster, for records whose fields have the types that `cls` has."""
    return Generated(lambda: _generated_reader(record, cls, careful) if suits(record, cls) else careful)


def _generated_reader(record: RecordType, cls: type[Record], careful: Read) -> Read:
    code = Code({"careful": careful, "more": _more, "EPOCH": EPOCH, "delta": dates.timedelta, "proxy": types.MappingProxyType})
    with code.block("def read(v, start):"):
        with code.block("try:"):
            code.line("at = start")
            made = _read_record(code, record, cls)
            code.line(f"r = {made}")
            code.line("if at == len(v): return r")
        code.line("except Exception: pass")  # the careful one finds it again, and says what it is
        code.line("return careful(v, start)")
    read: Read = code.run()["read"]
    return read


def writer_code(record: RecordType, cls: type[R], prefix: bytes, careful: Settle) -> Generated[Settle]:
    """`careful`, but faster, for records that are in their one form already."""
    return Generated(lambda: _generated_writer(record, cls, prefix, careful) if suits(record, cls) else careful)


def _generated_writer(record: RecordType, cls: type[Record], prefix: bytes, careful: Settle) -> Settle:
    code = Code({**NAMES, "careful": careful, "prefix": prefix})
    with code.block("def settle(r):"):
        with code.block("try:"):
            parts = write_record(code, record, cls, "r")
            code.line(f"return r, b''.join((prefix, {', '.join(parts)},))")
        code.line("except Exception: pass")  # as above
        code.line("return careful(r)")
    settle: Settle = code.run()["settle"]
    return settle


def _read_record(code: Code, record: RecordType, cls: type[Record]) -> str:
    """Lines that read the fields from `at` on; returns the expression that makes the record of them."""
    hints = structure_of(record, cls)
    fields = []
    for field in record.fields:
        into = code.new()
        _read(code, field.type, hints[field.name], into)
        fields.append(f"{field.name}={into}")  # the parser allows only letters, digits and _ in a name
    return f"{code.keep(cls)}({', '.join(fields)})"


def _read(code: Code, kind: AvroType, hint: Any, into: str) -> None:
    """Lines that read a value from `at` on into a variable."""
    if not kind.nullable:
        _read_plain(code, kind, hint, into)
        return
    code.line("n = v[at]; at += 1")
    code.line(f"if n == {2 * kind.null_at}: {into} = None")
    with code.block(f"elif n == {2 * (1 - kind.null_at)}:"):
        _read_plain(code, kind, hint, into)
    code.line("else: raise ValueError")


def _read_plain(code: Code, kind: AvroType, hint: Any, into: str) -> None:
    match kind.kind:
        case "string" | "bytes":
            _read_long(code, "n")
            code.line("end = at + n")
            code.line("if end < at: raise ValueError")
            code.line(f"{into} = v[at:end]{'.decode()' if kind.kind == 'string' else ''}; at = end")
        case "boolean":
            code.line(f"{into} = {code.keep((False, True))}[v[at]]; at += 1")
        case "int":
            _read_long(code, into)
            low, high = RANGES["int"]
            code.line(f"if not {low} <= {into} <= {high}: raise ValueError")
        case "long":
            _read_long(code, into)
        case "timestamp-micros" | "timestamp-millis":
            _read_time(code, kind.kind, into)
        case "float" | "double":
            fixed = FIXED[kind.kind]
            code.line(f"{into} = {code.keep(fixed.unpack_from)}(v, at)[0] or 0.0; at += {fixed.size}")  # -0.0 is 0.0
            code.line(f"if {into} != {into}: raise ValueError")
        case "enum":
            symbols = {2 * number: symbol for number, symbol in enumerate(kind.symbols[:64])}
            code.line(f"{into} = {code.keep(symbols)}[v[at]]; at += 1")
        case _:
            _read_compound(code, kind, hint, into)


def _read_long(code: Code, into: str) -> None:
    code.line("b = v[at]; at += 1")
    code.line(f"if b < 128: {into} = (b >> 1) ^ -(b & 1)")
    with code.block("else:"):
        code.line("c = v[at]; at += 1; b = b & 127 | (c & 127) << 7")
        code.line(f"if c < 128: {into} = (b >> 1) ^ -(b & 1)")
        code.line(f"else: {into}, at = more(v, at, b)")


def _read_time(code: Code, kind: str, into: str) -> None:
    """A time of our days has eight bytes in µs."""
    if kind == "timestamp-millis":
        _read_long(code, "n")
        code.line(f"{into} = EPOCH + delta(0, 0, 0, n)")
        return
    unpack = code.keep(struct.Struct("<Q").unpack_from)
    code.line(f"w = {unpack}(v, at)[0] if len(v) >= at + 8 else 0")
    with code.block("if w & 0x8080808080808080 == 0x0080808080808080:"):
        terms = ["w & 127", *(f"w >> {step} & {127 << 7 * step}" for step in range(1, 8))]
        code.line(f"n = {' | '.join(terms)}; at += 8")
        code.line("n = (n >> 1) ^ -(n & 1)")
    with code.block("else:"):
        _read_long(code, "n")
    code.line(f"{into} = EPOCH + delta(0, 0, n)")


def _read_compound(code: Code, kind: AvroType, hint: Any, into: str) -> None:
    name = code.new("read")

    def body() -> None:
        if kind.record is not None:
            made = _read_record(code, kind.record, record_hint(hint))
            code.line(f"r = {made}")
        else:
            _read_items(code, kind, hint)
        code.line("return r, at")

    code.function(f"def {name}(v, at):", body)
    code.line(f"{into}, at = {name}(v, at)")


def _read_items(code: Code, kind: AvroType, hint: Any) -> None:
    """Lines that read an array or a map into `r`. A block with its size in bytes is uncommon: its count is negative."""
    assert kind.item is not None
    is_map = kind.kind == "map"
    code.line(f"items = {'{}' if is_map else '[]'}")
    with code.block("while True:"):
        _read_long(code, "count")
        code.line("if not count: break")
        code.line("if count < 0: raise ValueError")
        with code.block("for _ in range(count):"):
            if is_map:
                _read_plain(code, AvroType("string"), str, "name")
            _read(code, kind.item, item_hint(hint), "item")
            code.line("items[name] = item" if is_map else "items.append(item)")
    code.line("r = proxy(dict(sorted(items.items(), key=lambda it: it[0])))" if is_map else "r = tuple(items)")
