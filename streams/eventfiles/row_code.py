"""Python code generated for one class of events, which makes an event's bytes straight from a row's values.

It knows what is common. Whatever is not (a number with a plus, an unknown column, a list) it leaves to the careful way, from the
beginning: streams/eventfiles/convert.py makes the event and refuses what is wrong, and the codec encodes it. That remains the
reference, for keys, bytes and messages. A property compares both over every type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from streams.codec import prefix_of
from streams.data import EventData
from streams.eventfiles.numbers import COMMON_TIME
from streams.eventfiles.quick_values import BOOLEANS, TEXT_OF
from streams.schemas.avro import MISSING, AvroType, Field, is_key, parse
from streams.schemas.classes import structure_of
from streams.schemas.code_lines import Code, suits
from streams.schemas.encoding_lines import LONGS, NAMES, write_plain, write_value
from streams.schemas.schema_ids import canonical, id_of


class RowCode(NamedTuple):
    """`make` gives the key and the bytes of a row's event; None for a row that is to be read carefully."""

    event_class: type[EventData]
    make: Callable[[Mapping[str, Any]], tuple[str, bytes] | None]


SMALL_NUMBERS: Final = {str(number): written for number, written in enumerate(LONGS[:1024])}
"""The bytes of the numbers that most counts are, by their texts."""


def row_code(data: type[EventData], known: Collection[str], *, texts: bool) -> RowCode | None:
    """`known` are the names that a row may have, `texts`: all values are texts. None if the class does not suit its schema."""
    record = parse(data.schemas[-1], written=True)
    key = next((field for field in record.fields if field.name == data.key_field), None)
    if key is None or key.type != AvroType("string") or key.default is not MISSING or not suits(record, data):
        return None
    prefix = prefix_of(id_of(canonical(json.loads(data.schemas[-1]))))
    code = Code({
        **NAMES, "prefix": prefix, "has_all": frozenset(known).issuperset, "MISSING": MISSING, "is_key": is_key,
        "is_time": COMMON_TIME.fullmatch, "time": datetime.fromisoformat, "small_number": SMALL_NUMBERS.get,
    })  # fmt: skip
    hints = structure_of(record, data)
    with code.block("def make(values):"):
        with code.block("try:"):
            code.line("if not has_all(values): return None")
            code.line(f"key = values['{key.name}']")
            code.line("if not is_key(key): return None")
            parts = [part for field in record.fields for part in _field(code, field, hints[field.name], data, texts)]
            code.line(f"return key, b''.join((prefix, {', '.join(parts)},))")
        code.line("except Exception: return None")  # the careful way finds it again, and says what it is
    return RowCode(data, code.run()["make"])


def _field(code: Code, field: Field, hint: Any, data: type[EventData], texts: bool) -> list[str]:
    """Lines that read and check a field; returns the expressions of its bytes."""
    kind, value, into = field.type, code.new(), code.new("b")
    null = code.keep(LONGS[kind.null_at])
    ready = []
    """Conditions, and the bytes that need no conversion."""
    if field.default is MISSING:
        empty = null
        code.line(f"{value} = values['{field.name}']")  # the parser allows only letters, digits and _ in a name
    else:
        empty = code.keep(_written(kind, hint, _default_of(data, field.name)))
        code.line(f"{value} = values.get('{field.name}', MISSING)")
        ready.append((f"{value} is MISSING", empty))
    if texts and (kind.nullable or (kind.kind != "string" and field.default is not MISSING)):
        ready.append((f"{value} == ''", empty))
    elif kind.nullable:
        ready.append((f"{value} is None", null))
    if not ready:
        return _value(code, kind, hint, value, texts)
    code.line(f"if {ready[0][0]}: {into} = {ready[0][1]}")
    for condition, written in ready[1:]:
        code.line(f"elif {condition}: {into} = {written}")
    with code.block("else:"):
        branch = [code.keep(LONGS[1 - kind.null_at])] if kind.nullable else []
        code.line(f"{into} = {' + '.join(branch + _value(code, kind, hint, value, texts))}")
    return [into]


def _written(kind: AvroType, hint: Any, value: Any) -> bytes | None:
    """The bytes of a default; None, which joins no bytes, for one that is not in its one form: so that row is read carefully."""
    code = Code(dict(NAMES))
    with code.block("def write(x):"):
        code.line(f"return b''.join(({', '.join(write_value(code, kind, hint, 'x'))},))")
    write: Callable[[Any], bytes] = code.run()["write"]
    try:
        return write(value)
    except Exception:  # noqa: BLE001 - whatever it is, the careful way says it
        return None


def _default_of(data: type[EventData], name: str) -> Any:
    """The value of a field that is left out."""
    field = next(field for field in msgspec.structs.fields(data) if field.name == name)
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _value(code: Code, kind: AvroType, hint: Any, value: str, texts: bool) -> list[str]:
    """Lines that convert and check a value that is there; returns the expressions of its bytes."""
    match kind.kind:
        case "array" | "map" | "record":
            code.line("raise Uncommon")
            return ["b''"]
        case "timestamp-micros" | "timestamp-millis":
            _time(code, value, texts)
        case "float" | "double" if not texts:
            code.line(f"if {value} - {value}: raise Uncommon")  # a number without an end
    if texts and kind.kind not in ("string", "enum", "timestamp-micros", "timestamp-millis"):
        return _from_text(code, kind, hint, value)
    return write_plain(code, kind, hint, value)


def _time(code: Code, value: str, texts: bool) -> None:
    with code.block(f"if type({value}) is str:"):
        code.line(f"if not is_time({value}): raise Uncommon")
        code.line(f"{value} = time({value})")
        code.line(f"if {value}.tzinfo is not UTC: {value} = {value}.astimezone(UTC)")
    if texts:
        code.line("else: raise Uncommon")


def _from_text(code: Code, kind: AvroType, hint: Any, value: str) -> list[str]:
    match kind.kind:
        case "int" | "long":
            number = code.new("b")
            code.line(f"{number} = small_number({value})")
            with code.block(f"if {number} is None:"):
                code.line(f"if not {code.keep(TEXT_OF[kind.kind])}({value}): raise Uncommon")
                code.line(f"{number} = zigzag(int({value}))")
            return [number]
        case "float" | "double":
            code.line(f"if not {code.keep(TEXT_OF['double'])}({value}): raise Uncommon")
            code.line(f"{value} = float({value})")
            return write_plain(code, kind, hint, value)
        case "boolean":
            booleans = {text: bytes([there]) for text, there in BOOLEANS.items()}
            return [f"{code.keep(booleans)}[{value}]"]
        case _:
            code.line("raise Uncommon")
            return ["b''"]
