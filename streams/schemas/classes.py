"""Matches a generated class with its schema: the annotation of each field, and the classes of nested records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin
from weakref import WeakKeyDictionary

import msgspec

from streams.data import Record
from streams.errors import StaleTypes
from streams.hints import without_none
from streams.schemas.avro import RecordType

_known: WeakKeyDictionary[type[Record], tuple[RecordType, dict[str, Any]]] = WeakKeyDictionary()
"""A cache of the annotations of a class, with the record: reading them takes 40 µs, and an event may hold 35 000 records."""


def structure_of(record: RecordType, cls: type[Record]) -> Mapping[str, Any]:
    """The annotation of each field of `cls`. Raises StaleTypes if the class has other fields than the schema."""
    known = _known.get(cls)
    if known is None or known[0] is not record:
        known = _known[cls] = (record, _structure(record, cls))
    return known[1]


def _structure(record: RecordType, cls: type[Record]) -> dict[str, Any]:
    hints = {field.name: field.type for field in msgspec.structs.fields(cls)}
    names = {field.name for field in record.fields}
    if names != set(hints):
        differ = ", ".join(sorted(names ^ set(hints)))
        raise StaleTypes(
            f"the class {cls.__module__}.{cls.__qualname__} and the schema {record.name} differ in {differ}: "
            "run `retold schemas generate`"
        )
    return hints


def item_hint(hint: Any) -> Any:
    """`X` of `tuple[X, ...]` and of `Mapping[str, X]`."""
    plain = without_none(hint)
    arguments = get_args(plain)
    if not arguments:
        return None
    origin = get_origin(plain)
    return arguments[1] if isinstance(origin, type) and issubclass(origin, Mapping) else arguments[0]


def record_hint(hint: Any) -> type[Record]:
    """The class of a nested record. Raises StaleTypes if the annotation has none."""
    plain = without_none(hint)
    if not (isinstance(plain, type) and issubclass(plain, Record)):
        raise StaleTypes(f"a field is annotated {hint!r} where its schema has a record: run `retold schemas generate`")
    return plain
