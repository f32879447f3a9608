"""A row as a restore from its written bytes would give it, so that live and restored rows cannot differ.

Lists become tuples; dicts read-only mappings in the order of their keys; times take the zone UTC; whole numbers in
float fields become floats; -0.0 becomes 0.0. A value of a wrong type passes through: writing refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from streams.data import Record
from streams.schemas.avro import AvroType, RecordType
from streams.schemas.classes import item_hint, record_hint, structure_of

Freeze = Callable[[Any], Any]
"""Gives the very same object if there is nothing to do."""


def freezer_of(record: RecordType, cls: type[Record]) -> Freeze | None:
    """None if no field of the record can need freezing."""
    hints = structure_of(record, cls)
    found = [(field.name, _freezer(field.type, hints[field.name])) for field in record.fields]
    parts = [(name, part) for name, part in found if part is not None]
    if not parts:
        return None

    def freeze(row: Any) -> Any:
        if type(row) is not cls:
            return row
        changed = {}
        for name, part in parts:
            value = getattr(row, name)
            frozen = part(value)
            if frozen is not value:
                changed[name] = frozen
        return msgspec.structs.replace(row, **changed) if changed else row

    return freeze


def _freezer(kind: AvroType, hint: Any) -> Freeze | None:
    match kind.kind:
        case "timestamp-micros" | "timestamp-millis":
            return _time
        case "float" | "double":
            return _floating
        case "array":
            assert kind.item is not None
            return _array(_freezer(kind.item, item_hint(hint)))
        case "map":
            assert kind.item is not None
            return _map(_freezer(kind.item, item_hint(hint)))
        case "record":
            assert kind.record is not None
            return freezer_of(kind.record, record_hint(hint))
        case _:
            return None


def _time(value: Any) -> Any:
    if type(value) is not datetime or value.tzinfo is UTC or value.tzinfo is None:
        return value
    return value.astimezone(UTC)


def _floating(value: Any) -> Any:
    if type(value) is int and -(2**53) <= value <= 2**53:
        return float(value)
    if type(value) is float and value == 0.0 and math.copysign(1.0, value) < 0:
        return 0.0
    return value


def _array(item: Freeze | None) -> Freeze:
    def freeze(value: Any) -> Any:
        if type(value) not in (tuple, list):
            return value
        if item is None:
            return value if type(value) is tuple else tuple(value)
        frozen = tuple([item(part) for part in value])
        same = type(value) is tuple and all(old is new for old, new in zip(value, frozen, strict=True))
        return value if same else frozen

    return freeze


def _map(item: Freeze | None) -> Freeze:
    def freeze(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(type(name) is str for name in value):
            return value
        names = sorted(value, key=utf8)
        frozen = {name: value[name] if item is None else item(value[name]) for name in names}
        same = type(value) is MappingProxyType and names == list(value)
        if same and all(value[name] is frozen[name] for name in names):
            return value
        return MappingProxyType(frozen)

    return freeze


def utf8(name: str) -> bytes:
    """The order in which keys are written; half a surrogate pair sorts somewhere and is refused when written."""
    return name.encode(errors="surrogatepass")
