"""The quick way of converting values that are plainly right; streams/eventfiles/convert.py converts, or refuses, all others.

It gives what the careful conversion gives, or UNSURE. Which way a field takes is decided once, not for each value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from streams.eventfiles.numbers import COMMON_TIME
from streams.schemas.avro import MISSING, RANGES, AvroType, Field

UNSURE: Final = object()
"""Not plainly right: to be converted carefully."""
LEFT_OUT: Final = object()
"""An empty text that means the field's default."""
Quick = Callable[[Any], Any]

TEXT_OF: Final = {
    "int": re.compile(r"-?[0-9]{1,9}").fullmatch,
    "long": re.compile(r"-?[0-9]{1,18}").fullmatch,
    "double": re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?").fullmatch,
}
"""Texts of numbers that are in range, and lose nothing."""
BOOLEANS: Final = {"true": True, "false": False}


def quick_value(field: Field, *, texts: bool) -> Quick:
    """The quick conversion of a field's values. `texts`: all of them are texts, as in CSV."""
    quick = _text(field.type) if texts else _natural(field.type)
    nullable, plain = field.type.nullable, field.type.kind == "string" and not field.type.nullable
    if texts and not plain and (nullable or field.default is not MISSING):
        empty = None if field.default is MISSING else LEFT_OUT
        return lambda value: quick(value) if value else empty if value == "" else UNSURE
    return (lambda value: None if value is None else quick(value)) if nullable and not texts else quick


def _text(kind: AvroType) -> Quick:
    match kind.kind:
        case "int" | "long":
            return _number(TEXT_OF[kind.kind], int)
        case "float" | "double":
            return _number(TEXT_OF["double"], float)
        case "boolean":
            return lambda value: BOOLEANS.get(value, UNSURE) if type(value) is str else UNSURE
        case _:
            return _natural(kind)


def _number(is_plain: Callable[[str], Any], number: Callable[[str], Any]) -> Quick:
    return lambda value: number(value) if type(value) is str and is_plain(value) else UNSURE


def _natural(kind: AvroType) -> Quick:
    match kind.kind:
        case "string":
            return lambda value: value if type(value) is str else UNSURE
        case "enum":
            symbols = frozenset(kind.symbols)
            return lambda value: value if type(value) is str and value in symbols else UNSURE
        case "int" | "long":
            low, high = RANGES[kind.kind]
            return lambda value: value if type(value) is int and low <= value <= high else UNSURE
        case "float" | "double":
            return lambda value: value if type(value) is float and math.isfinite(value) else UNSURE
        case "boolean":
            return lambda value: value if type(value) is bool else UNSURE
        case "timestamp-micros" | "timestamp-millis":
            return _time
        case _:
            return lambda _: UNSURE


def _time(value: Any) -> Any:
    if type(value) is str:
        try:
            return datetime.fromisoformat(value) if COMMON_TIME.fullmatch(value) else UNSURE
        except ValueError:  # such as the 30th of February
            return UNSURE
    return value if type(value) is datetime and value.tzinfo is UTC else UNSURE
