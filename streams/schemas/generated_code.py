"""Python code generated for one schema, which decodes straight into the frozen record, and checks and encodes in one go.

It knows what is common. Whatever is not (a number in more bytes than usual, an unknown symbol, half a surrogate pair, bytes that
are left over, a value that must be converted) goes to the careful functions of streams/schemas/binary.py and values.py, from the
beginning: they remain the reference, for values, bytes and messages. A property compares both over every type.
"""

from __future__ import annotations

import datetime as dates
import struct
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from streams.data import Record
from streams.errors import StaleTypes
from streams.schemas.avro import EPOCH, RANGES, AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of, without_none

R = TypeVar("R", bound=Record)
Read = Callable[[bytes, int], Any]
Settle = Callable[[Any], tuple[Any, bytes]]
"""From a record to the same one in its one form, and its bytes."""

HINTS: Final = {
    "string": str, "bytes": bytes, "boolean": bool, "int": int, "long": int, "float": float, "double": float,
    "timestamp-micros": dates.datetime, "timestamp-millis": dates.datetime,
}  # fmt: skip
FIXED: Final = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
COMPOUND: Final = frozenset({"array", "map", "record"})
SMALL: Final = 8192


class Uncommon(Exception):
    """Something that generated code leaves to the careful functions."""


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


def reader_code(record: RecordType, cls: type[Record], careful: Read) -> Read:
    """`careful`, but faster, for records whose fields have the types that `cls` has. It is generated at its first use."""
    made: Read | None = None

    def read(value: bytes, start: int) -> Any:
        nonlocal made
        if made is None:
            made = _generated_reader(record, cls, careful) if _suits(record, cls) else careful
        return made(value, start)

    return read


def _generated_reader(record: RecordType, cls: type[Record], careful: Read) -> Read:
    code = _Code({"careful": careful, "more": _more, "EPOCH": EPOCH, "delta": dates.timedelta, "proxy": types.MappingProxyType})
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


def writer_code(record: RecordType, cls: type[R], prefix: bytes, careful: Settle) -> Settle:
    """`careful`, but faster for records that are in their one form already. It is generated at its first use."""
    made: Settle | None = None

    def settle(value: R) -> tuple[R, bytes]:
        nonlocal made
        if made is None:
            made = _generated_writer(record, cls, prefix, careful) if _suits(record, cls) else careful
        return made(value)

    return settle


def _generated_writer(record: RecordType, cls: type[Record], prefix: bytes, careful: Settle) -> Settle:
    code = _Code({
        "careful": careful, "zigzag": zigzag, "LONGS": LONGS, "EPOCH": EPOCH, "UTC": dates.UTC, "datetime": dates.datetime,
        "proxy": types.MappingProxyType, "Uncommon": Uncommon, "prefix": prefix,
    })  # fmt: skip
    with code.block("def settle(r):"):
        with code.block("try:"):
            parts = _write_record(code, record, cls, "r")
            code.line(f"return r, b''.join((prefix, {', '.join(parts)},))")
        code.line("except Exception: pass")  # as above
        code.line("return careful(r)")
    settle: Settle = code.run()["settle"]
    return settle


def _suits(record: RecordType, cls: type[Record]) -> bool:
    """Whether the annotations of the class are what the schema says, so that a value of the one needs no check by the other."""
    try:
        hints = structure_of(record, cls)
        return all(_type_suits(field.type, hints[field.name]) for field in record.fields)
    except StaleTypes:
        return False


def _type_suits(kind: AvroType, hint: Any) -> bool:
    plain = without_none(hint)
    if (plain is not hint) != kind.nullable:
        return False
    if kind.kind == "enum":
        return get_origin(plain) is Literal and set(get_args(plain)) == set(kind.symbols)
    if kind.record is not None:
        return isinstance(plain, type) and issubclass(plain, Record) and _suits(kind.record, plain)
    if kind.item is not None:
        wanted = tuple if kind.kind == "array" else Mapping
        return get_origin(plain) is wanted and _type_suits(kind.item, item_hint(hint))
    return HINTS.get(kind.kind) is plain


class _Block:
    def __init__(self, code: _Code) -> None:
        self._code = code

    def __enter__(self) -> None:
        self._code.depth += 1

    def __exit__(self, *_: object) -> None:
        self._code.depth -= 1


class _Code:
    """The lines of a module of functions, and the names that they use. Nothing of a schema's text is in a line."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names, self.depth = names, 0
        self._lines: list[str] = []
        self._done: list[str] = []
        self._count = 0

    def line(self, text: str) -> None:
        self._lines.append(" " * self.depth + text)

    def block(self, head: str) -> _Block:
        self.line(head)
        return _Block(self)

    def new(self, kind: str = "x") -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{kind}{self._count}"

    def keep(self, value: object) -> str:
        """A name for a value."""
        name = self.new("k")
        self.names[name] = value
        return name

    def function(self, head: str, body: Callable[[], None]) -> None:
        """A function of its own: Python allows only 20 blocks in one another."""
        lines, depth, self._lines, self.depth = self._lines, self.depth, [], 0
        with self.block(head):
            body()
        self._done += self._lines
        self._lines, self.depth = lines, depth

    def run(self) -> dict[str, Any]:
        exec("\n".join([*self._done, *self._lines]), self.names)  # noqa: S102 - made here, of names that are made here
        return self.names


def _read_record(code: _Code, record: RecordType, cls: type[Record]) -> str:
    """Lines that read the fields from `at` on; returns the expression that makes the record of them."""
    hints = structure_of(record, cls)
    fields = []
    for field in record.fields:
        into = code.new()
        _read(code, field.type, hints[field.name], into)
        fields.append(f"{field.name}={into}")  # the parser allows only letters, digits and _ in a name
    return f"{code.keep(cls)}({', '.join(fields)})"


def _read(code: _Code, kind: AvroType, hint: Any, into: str) -> None:
    """Lines that read a value from `at` on into a variable."""
    if not kind.nullable:
        _read_plain(code, kind, hint, into)
        return
    code.line("n = v[at]; at += 1")
    code.line(f"if n == {2 * kind.null_at}: {into} = None")
    with code.block(f"elif n == {2 * (1 - kind.null_at)}:"):
        _read_plain(code, kind, hint, into)
    code.line("else: raise ValueError")


def _read_plain(code: _Code, kind: AvroType, hint: Any, into: str) -> None:
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


def _read_long(code: _Code, into: str) -> None:
    code.line("b = v[at]; at += 1")
    code.line(f"if b < 128: {into} = (b >> 1) ^ -(b & 1)")
    with code.block("else:"):
        code.line("c = v[at]; at += 1; b = b & 127 | (c & 127) << 7")
        code.line(f"if c < 128: {into} = (b >> 1) ^ -(b & 1)")
        code.line(f"else: {into}, at = more(v, at, b)")


def _read_time(code: _Code, kind: str, into: str) -> None:
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


def _read_compound(code: _Code, kind: AvroType, hint: Any, into: str) -> None:
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


def _read_items(code: _Code, kind: AvroType, hint: Any) -> None:
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


def _write_record(code: _Code, record: RecordType, cls: type[Record], value: str) -> list[str]:
    """Lines that check the fields; returns the expressions of their bytes."""
    code.line(f"if type({value}) is not {code.keep(cls)}: raise Uncommon")
    hints = structure_of(record, cls)
    parts = []
    for field in record.fields:
        name = code.new()
        code.line(f"{name} = {value}.{field.name}")
        parts += _write(code, field.type, hints[field.name], name)
    return parts


def _write(code: _Code, kind: AvroType, hint: Any, value: str) -> list[str]:
    if not kind.nullable:
        return _write_plain(code, kind, hint, value)
    branches = [LONGS[kind.null_at], LONGS[1 - kind.null_at]]
    null, other = map(code.keep, branches)
    into = code.new("b")
    code.line(f"if {value} is None: {into} = {null}")
    with code.block("else:"):
        parts = _write_plain(code, kind, hint, value)
        code.line(f"{into} = b''.join(({other}, {', '.join(parts)},))")
    return [into]


def _write_plain(code: _Code, kind: AvroType, hint: Any, value: str) -> list[str]:
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


def _write_floating(code: _Code, kind: str, value: str) -> list[str]:
    into, fixed = code.new("b"), FIXED[kind]
    code.line(f"if type({value}) is not float or {value} != {value}: raise Uncommon")
    code.line(f"{into} = {code.keep(fixed.pack)}({value})")
    code.line(f"if not {value} and {into}[-1]: raise Uncommon")  # -0.0
    if kind == "float":
        code.line(f"if {code.keep(fixed.unpack)}({into})[0] != {value}: raise Uncommon")
    return [into]


def _write_time(code: _Code, kind: str, value: str) -> list[str]:
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


def _write_compound(code: _Code, kind: AvroType, hint: Any, value: str) -> str:
    name = code.new("write")

    def body() -> None:
        if kind.record is not None:
            parts = _write_record(code, kind.record, record_hint(hint), "r")
            code.line(f"return b''.join(({', '.join(parts)},))")
        else:
            _write_items(code, kind, hint)

    code.function(f"def {name}(r):", body)
    return f"{name}({value})"


def _write_items(code: _Code, kind: AvroType, hint: Any) -> None:
    """Lines that return the bytes of the array or the map `r`."""
    assert kind.item is not None
    is_map = kind.kind == "map"
    code.line(f"if type(r) is not {'proxy' if is_map else 'tuple'}: raise Uncommon")
    code.line(f"if not r: return {code.keep(bytes(1))}")
    code.line("count = len(r)")
    code.line(f"parts = [{_long('count')}]")
    code.line("last = None")
    with code.block("for name, item in r.items():" if is_map else "for item in r:"):
        parts = []
        if is_map:
            code.line("if last is not None and not last < name: raise Uncommon")
            code.line("last = name")
            parts += _write_plain(code, AvroType("string"), str, "name")
        parts += _write(code, kind.item, item_hint(hint), "item")
        code.line(f"parts += ({', '.join(parts)},)")
    code.line(f"parts.append({code.keep(bytes(1))})")
    code.line("return b''.join(parts)")
