"""JSON Schema of events and rows as they are over HTTP, from their Avro schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.data import EventData, Record
from streams.schemas.avro import KEY_BYTES, MISSING, RANGES, AvroType, RecordType, parse

AT = "#/components/schemas/"
Spec = dict[str, Any]
PLAIN: dict[str, Spec] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "boolean": {"type": "boolean"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "timestamp-millis": {"type": "string", "format": "date-time"},
    "timestamp-micros": {"type": "string", "format": "date-time"},
}


def components(types: Iterable[type[Record]]) -> dict[str, Spec]:
    """Schemas by the names of the Avro records, including nested ones."""
    found: dict[str, Spec] = {}
    for cls in types:
        record = parse(cls.schemas[-1], written=True)
        _add(record, found)
        if issubclass(cls, EventData):
            found[record.name]["properties"][cls.key_field] |= {"minLength": 1, "maxLength": KEY_BYTES}
    return found


def reference(cls: type[Record]) -> Spec:
    return {"$ref": AT + parse(cls.schemas[-1], written=True).name}


def _add(record: RecordType, found: dict[str, Spec]) -> None:
    spec: Spec = {"type": "object", "additionalProperties": False, "properties": {}, "required": []}
    if record.doc:
        spec["description"] = record.doc
    found[record.name] = spec
    for field in record.fields:
        of_field = _of(field.type, found)
        spec["properties"][field.name] = {**of_field, "description": field.doc} if field.doc else of_field
        if field.default is MISSING:
            spec["required"].append(field.name)


def _of(kind: AvroType, found: dict[str, Spec]) -> Spec:
    spec = _not_null(kind, found)
    return {"anyOf": [spec, {"type": "null"}]} if kind.nullable else spec


def _not_null(kind: AvroType, found: dict[str, Spec]) -> Spec:
    match kind.kind:
        case "int" | "long":
            low, high = RANGES[kind.kind]
            return {"type": "integer", "minimum": low, "maximum": high}
        case "enum":
            return {"type": "string", "enum": list(kind.symbols)}
        case "array":
            assert kind.item is not None
            return {"type": "array", "items": _of(kind.item, found)}
        case "map":
            assert kind.item is not None
            return {"type": "object", "additionalProperties": _of(kind.item, found)}
        case "record":
            assert kind.record is not None
            _add(kind.record, found)
            return {"$ref": AT + kind.record.name}
        case plain:
            return dict(PLAIN[plain])
