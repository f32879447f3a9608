"""Parses the part of Avro that retold supports: from a schema text to a `RecordType`.

Not supported on purpose: unions other than with null, `fixed`, logical types except the two timestamps, records that contain
themselves (a few bytes could nest endlessly) and records without fields (a few bytes could be a million of them).
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.errors import InvalidSchema

PRIMITIVES: Final = frozenset({"string", "int", "long", "float", "double", "boolean", "bytes"})
TIMESTAMPS: Final = frozenset({"timestamp-millis", "timestamp-micros"})
AVRO_NAMES: Final = PRIMITIVES | {"null", "record", "enum", "array", "map", "fixed"}
RANGES: Final = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
MISSING: Final = object()
"""The default of a field that has none (None is the default `null`)."""

FIELD_NAME = re.compile(r"[a-z][A-Za-z0-9_]*")
TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED: Final = frozenset(
    {"key", "schemas", "event_type", "key_field", "str", "int", "float", "bool", "bytes", "datetime", "tuple"}
)
"""Names that a generated class needs for itself."""


@dataclass(frozen=True)
class AvroType:
    """`kind` is a primitive, a timestamp, enum, array, map or record; `item` belongs to array and map."""

    kind: str
    nullable: bool = False
    item: AvroType | None = None
    record: RecordType | None = None
    name: str = ""
    symbols: tuple[str, ...] = ()
    symbol_default: str | None = None


@dataclass(frozen=True)
class Field:
    """`default` is the JSON value of the schema, MISSING without one."""

    name: str
    type: AvroType
    default: Any
    aliases: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class RecordType:
    """`name` is the full name; `key` and `version` are read from the outermost record only."""

    name: str
    fields: tuple[Field, ...]
    doc: str = ""
    key: str = ""
    version: int = 1
    aliases: tuple[str, ...] = ()


def parse(text: str) -> RecordType:
    """The tree of a schema text. Raises InvalidSchema naming the field, its value and what was expected."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise InvalidSchema(f"the schema is no JSON: {error}") from error
    return record_of(schema)


def record_of(schema: object) -> RecordType:
    """The tree of a schema that is parsed as JSON already."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        raise InvalidSchema('a schema begins as {"type": "record", "name": …, "fields": […]}; this one does not')
    record = _Parser().record(schema, "")
    key = schema.get("key", "")
    if key and not any(f.name == key and f.type == AvroType("string") for f in record.fields):
        raise InvalidSchema(f'"key" of {record.name} is {key!r}; expected the name of a field of type "string"', "key")
    version = schema.get("version", 1)
    if type(version) is not int or version < 1:
        raise InvalidSchema(f'"version" of {record.name} is {version!r}; expected a number from 1 on', "version")
    return RecordType(record.name, record.fields, record.doc, key, version, record.aliases)


def full_name(schema: Mapping[str, Any], namespace: str) -> str:
    """The full name of a named type inside `namespace`."""
    name = schema.get("name")
    if not isinstance(name, str) or not TYPE_NAME.fullmatch(name):
        raise InvalidSchema(f"a {schema.get('type')} has the name {name!r}; expected letters, digits and _", str(name))
    home = schema.get("namespace", namespace)
    return name if "." in name or not home else f"{home}.{name}"


def aliases_of(schema: Mapping[str, Any], where: str, field: str) -> tuple[str, ...]:
    """The former names of a record or a field."""
    aliases = schema.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise InvalidSchema(f'"aliases" of {where} is {aliases!r}; expected a list of names', field)
    return tuple(aliases)


class _Parser:
    """Parses one schema; named types may be used by name once they are complete."""

    def __init__(self) -> None:
        self.named: dict[str, AvroType] = {}
        self.open: set[str] = set()

    def record(self, schema: Mapping[str, Any], namespace: str) -> RecordType:
        name = full_name(schema, namespace)
        self._begin(name)
        raw = schema.get("fields")
        if not isinstance(raw, list) or not raw:
            raise InvalidSchema(f'the record {name} has no "fields"; expected a list with one at least', name)
        fields = tuple(self._field(field, name) for field in raw)
        for field in fields:
            if sum(field.name == other.name for other in fields) > 1:
                raise InvalidSchema(f"{name} has two fields called {field.name!r}: rename one", field.name)
        self.open.discard(name)
        return RecordType(name, fields, str(schema.get("doc", "")), aliases=aliases_of(schema, name, name))

    def _begin(self, name: str) -> None:
        if name in self.named or name in self.open:
            raise InvalidSchema(f"the type {name} is defined twice: define it once, then use its name", name)
        self.open.add(name)

    def _field(self, raw: object, record: str) -> Field:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str):
            raise InvalidSchema(f'{record} has a field {raw!r}; expected {{"name": …, "type": …}}', record)
        name = raw["name"]
        where = f"{record}.{name}"
        if not FIELD_NAME.fullmatch(name) or keyword.iskeyword(name) or name in RESERVED:
            raise InvalidSchema(
                f"{where} is no name for a field: expected a lower-case letter, then letters, digits and _, "
                f"no word of Python and none of {', '.join(sorted(RESERVED))}",
                name,
            )
        if "type" not in raw:
            raise InvalidSchema(f'{where} has no "type"', name)
        kind = self._type(raw["type"], record.rpartition(".")[0], where, name)
        default = raw.get("default", MISSING)
        if default is not MISSING:
            self._check_default(default, kind, raw["type"], where, name)
        return Field(name, kind, default, aliases_of(raw, where, name), str(raw.get("doc", "")))

    def _check_default(self, default: object, kind: AvroType, raw: object, where: str, name: str) -> None:
        """In Avro the default of a union belongs to its first branch."""
        null_first = isinstance(raw, list) and raw[0] == "null"
        fits = default is None if null_first else default is not None and default_fits(default, kind)
        if not fits:
            expected = "null, as null stands first" if null_first else f"a value of type {kind.kind}"
            raise InvalidSchema(f"{where} has the default {json.dumps(default)}; expected {expected}", name)

    def _type(self, raw: object, namespace: str, where: str, field: str) -> AvroType:
        if isinstance(raw, list):
            return self._union(raw, namespace, where, field)
        if isinstance(raw, str):
            return self._by_name(raw, namespace, where, field)
        if not isinstance(raw, Mapping):
            raise InvalidSchema(f"{where} has the type {raw!r}; expected a name, an object or a list", field)
        kind = raw.get("type")
        if kind == "array":
            return AvroType("array", item=self._type(raw.get("items"), namespace, f"{where}[]", field))
        if kind == "map":
            return AvroType("map", item=self._type(raw.get("values"), namespace, f"{where}{{}}", field))
        if kind == "record":
            record = self.record(raw, namespace)
            return self._remember(AvroType("record", record=record, name=record.name))
        if kind == "enum":
            return self._remember(self._enum(raw, namespace, where, field))
        if "logicalType" in raw:
            return self._logical(raw, where, field)
        return self._type(kind, namespace, where, field)

    def _remember(self, kind: AvroType) -> AvroType:
        self.named[kind.name] = kind
        return kind

    def _by_name(self, raw: str, namespace: str, where: str, field: str) -> AvroType:
        if raw in PRIMITIVES:
            return AvroType(raw)
        name = raw if "." in raw or not namespace else f"{namespace}.{raw}"
        if name in self.named:
            return self.named[name]
        if name in self.open:
            raise InvalidSchema(f"{where} holds {name} inside itself: use a list or a key of another row", field)
        known = ", ".join(sorted(PRIMITIVES))
        raise InvalidSchema(
            f"{where} has the type {raw!r}, which nobody knows; expected one of {known}, a time stamp, "
            'an array, map, enum or record, ["null", …], or the name of a type defined before it',
            field,
        )

    def _union(self, raw: list[Any], namespace: str, where: str, field: str) -> AvroType:
        others = [branch for branch in raw if branch != "null"]
        if len(raw) != 2 or len(others) != 1:
            raise InvalidSchema(
                f'{where} is a union of {len(raw)}; expected ["null", <type>]: what may be several things '
                "becomes several fields, or several events",
                field,
            )
        kind = self._type(others[0], namespace, where, field)
        if kind.nullable:
            raise InvalidSchema(f"{where} is a union in a union", field)
        return AvroType(kind.kind, True, kind.item, kind.record, kind.name, kind.symbols, kind.symbol_default)

    def _enum(self, raw: Mapping[str, Any], namespace: str, where: str, field: str) -> AvroType:
        name = full_name(raw, namespace)
        self._begin(name)
        self.open.discard(name)
        symbols, default = raw.get("symbols"), raw.get("default")
        words = isinstance(symbols, list) and all(isinstance(s, str) and SYMBOL.fullmatch(s) for s in symbols)
        if not symbols or not words:
            raise InvalidSchema(f"{where}: the enum {name} has the symbols {symbols!r}; expected some words", field)
        if len(set(symbols)) < len(symbols) or (default is not None and default not in symbols):
            raise InvalidSchema(f"{where}: the enum {name} repeats a symbol, or its default is none of them", field)
        return AvroType("enum", name=name, symbols=tuple(symbols), symbol_default=default)

    def _logical(self, raw: Mapping[str, Any], where: str, field: str) -> AvroType:
        logical, kind = raw["logicalType"], raw["type"]
        if logical not in TIMESTAMPS or kind != "long":
            raise InvalidSchema(
                f"{where} is a {kind!r} with the logicalType {logical!r}; expected a long with one of "
                f"{', '.join(sorted(TIMESTAMPS))}",
                field,
            )
        return AvroType(logical)


def default_fits(default: Any, kind: AvroType) -> bool:
    """Whether a JSON value may be the default of a field of this type (except null)."""
    match kind.kind:
        case "string":
            return isinstance(default, str)
        case "bytes":
            return isinstance(default, str) and all(ord(letter) < 256 for letter in default)
        case "boolean":
            return isinstance(default, bool)
        case "float" | "double":
            return isinstance(default, int | float) and not isinstance(default, bool) and math.isfinite(default)
        case "enum":
            return default in kind.symbols
        case "array":
            return isinstance(default, list) and all(_item_fits(item, kind) for item in default)
        case "map":
            return isinstance(default, dict) and all(_item_fits(item, kind) for item in default.values())
        case "record":
            return isinstance(default, dict) and _record_fits(default, kind)
        case number:
            low, high = RANGES["int" if number == "int" else "long"]
            return type(default) is int and low <= default <= high


def _item_fits(default: Any, kind: AvroType) -> bool:
    assert kind.item is not None
    return _value_fits(default, kind.item)


def _value_fits(value: Any, kind: AvroType) -> bool:
    return kind.nullable if value is None else default_fits(value, kind)


def _record_fits(default: dict[str, Any], kind: AvroType) -> bool:
    assert kind.record is not None
    return all(
        _value_fits(default[field.name], field.type) if field.name in default else field.default is not MISSING
        for field in kind.record.fields
    )
