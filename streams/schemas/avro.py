"""Parses the part of Avro that retold supports: from a schema text to a `RecordType`.

Not supported on purpose: unions other than with null, `fixed`, logical types except the two timestamps, records that contain
themselves (a few bytes could nest endlessly) and records without fields (a few bytes could be a million of them).
"""

from __future__ import annotations

import dataclasses
import json
import keyword
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeGuard

from streams.errors import InvalidSchema

PRIMITIVES: Final = frozenset({"string", "int", "long", "float", "double", "boolean", "bytes"})
TIMESTAMPS: Final = frozenset({"timestamp-millis", "timestamp-micros"})
AVRO_NAMES: Final = PRIMITIVES | {"null", "record", "enum", "array", "map", "fixed"}
RANGES: Final = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (
    (limit.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) for limit in (datetime.min, datetime.max)  # noqa: DTZ901 - the zone is put in
)
TIME_RANGES: Final = {"timestamp-micros": (_FIRST, _LAST), "timestamp-millis": (_FIRST // 1000, _LAST // 1000)}
"""What a datetime can hold."""
FOUR: Final = struct.Struct("<f")
KEY_BYTES: Final = 512
KEYS: Final = f"1 to {KEY_BYTES} bytes of UTF-8, the first one neither 0x00 nor 0x01"
SHOWN: Final = 200
DEEPEST: Final = 32
"""The most arrays, maps and records inside one another: Python reads no expression with 200 brackets around one another."""
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
    null_at: int = dataclasses.field(default=0, compare=False)
    """Which branch of its union is null, if it is nullable."""


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


def parse(text: str, *, written: bool = False) -> RecordType:
    """The tree of a schema text. Raises InvalidSchema naming the field, its value and what was expected.

    `written`: somebody has written records with it, so that defaults are taken that a new schema may not have. The trees of
    the last 256 texts are kept, since codec, routes and documents ask for the same ones.
    """
    return _parsed(text, written)


@lru_cache(256)
def _parsed(text: str, written: bool) -> RecordType:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise InvalidSchema(f"the schema is no JSON: {error}") from error
    return record_of(schema, written=written)


def record_of(schema: object, *, written: bool = False) -> RecordType:
    """The tree of a schema that is parsed as JSON already; `written` as in `parse`."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        raise InvalidSchema('a schema begins as {"type": "record", "name": …, "fields": […]}; this one does not')
    record = _Parser(_fits_rounded if written else default_fits).record(schema, "")
    key = schema.get("key", "")
    if key and not any(f.name == key and f.type == AvroType("string") for f in record.fields):
        raise InvalidSchema(f'"key" of {record.name} is {key!r}; expected the name of a field of type "string"', "key")
    version = schema.get("version", 1)
    if type(version) is not int or version < 1:
        raise InvalidSchema(f'"version" of {record.name} is {version!r}; expected a number from 1 on', "version")
    return RecordType(record.name, record.fields, record.doc, key, version, record.aliases)


def is_key(text: str) -> bool:
    """Whether a text may be the key of an entity."""
    return 0 < len(text.encode()) <= KEY_BYTES and text[0] > "\x01"


def full_name(schema: Mapping[str, Any], namespace: str) -> str:
    """The full name of a named type inside `namespace`."""
    name = schema.get("name")
    if not isinstance(name, str) or not TYPE_NAME.fullmatch(name):
        raise InvalidSchema(f"a {schema.get('type')} has the name {name!r}; expected letters, digits and _", str(name))
    home = schema.get("namespace", namespace)
    if not isinstance(home, str) or (home and not TYPE_NAME.fullmatch(home)):
        raise InvalidSchema(f'"namespace" of {name} is {home!r}; expected names of letters, digits and _, with dots', "namespace")
    return name if "." in name or not home else f"{home}.{name}"


def aliases_of(schema: Mapping[str, Any], where: str, field: str) -> tuple[str, ...]:
    """The former names of a record or a field."""
    aliases = schema.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise InvalidSchema(f'"aliases" of {where} is {aliases!r}; expected a list of names', field)
    return tuple(aliases)


class _Parser:
    """Parses one schema; named types may be used by name once they are complete."""

    def __init__(self, fits: Callable[[Any, AvroType], bool]) -> None:
        self.fits = fits
        """Whether a JSON value may be the default of a type."""
        self.named: dict[str, AvroType] = {}
        self.open: set[str] = set()
        self.depth = 0

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
        """In Avro the default of a union belongs to its first branch. The union may be the `type` of an object."""
        while isinstance(raw, Mapping):
            raw = raw.get("type")
        null_first = isinstance(raw, list) and raw[0] == "null"
        fits = default is None if null_first else default is not None and self.fits(default, kind)
        if not fits:
            expected = "null, as null stands first" if null_first else _expected_default(default, kind)
            raise InvalidSchema(f"{where} has the default {shown_default(default)}; expected {expected}", name)

    def _type(self, raw: object, namespace: str, where: str, field: str) -> AvroType:
        if isinstance(raw, list):
            return self._union(raw, namespace, where, field)
        if isinstance(raw, str):
            return self._by_name(raw, namespace, where, field)
        if not isinstance(raw, Mapping):
            raise InvalidSchema(f"{where} has the type {raw!r}; expected a name, an object or a list", field)
        kind = raw.get("type")
        if kind in ("array", "map", "record"):
            return self._compound(kind, raw, namespace, where, field)
        if kind == "enum":
            return self._remember(self._enum(raw, namespace, where, field))
        if "logicalType" in raw:
            return self._logical(raw, where, field)
        if not isinstance(kind, str) and (others := raw.keys() - {"type", "doc", "namespace"}):
            named = ", ".join(sorted(others))
            raise InvalidSchema(f"{where} has {named} beside a type that is no name: put it into that type", field)
        return self._type(kind, namespace, where, field)

    def _compound(self, kind: str, raw: Mapping[str, Any], namespace: str, where: str, field: str) -> AvroType:
        self.depth += 1
        if self.depth > DEEPEST:
            raise InvalidSchema(f"{where} is nested too deeply: at most {DEEPEST} arrays, maps and records in one another", field)
        if kind == "array":
            made = AvroType("array", item=self._type(raw.get("items"), namespace, f"{where}[]", field))
        elif kind == "map":
            made = AvroType("map", item=self._type(raw.get("values"), namespace, f"{where}{{}}", field))
        else:
            record = self.record(raw, namespace)
            made = self._remember(AvroType("record", record=record, name=record.name))
        self.depth -= 1
        return made

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
        return replace(kind, nullable=True, null_at=raw.index("null"))

    def _enum(self, raw: Mapping[str, Any], namespace: str, where: str, field: str) -> AvroType:
        name = full_name(raw, namespace)
        self._begin(name)
        self.open.discard(name)
        symbols, default = raw.get("symbols"), raw.get("default")
        words = isinstance(symbols, list) and all(isinstance(s, str) and SYMBOL.fullmatch(s) for s in symbols)
        if not symbols or not words:
            raise InvalidSchema(f"{where}: the enum {name} has the symbols {symbols!r}; expected some words", field)
        if len(set(symbols)) < len(symbols) or ("default" in raw and default not in symbols):
            raise InvalidSchema(f"{where}: the enum {name} repeats a symbol, or its default is none of them", field)
        return AvroType("enum", name=name, symbols=tuple(symbols), symbol_default=default)

    def _logical(self, raw: Mapping[str, Any], where: str, field: str) -> AvroType:
        logical, kind = raw["logicalType"], raw["type"]
        if logical not in (*TIMESTAMPS,) or kind != "long":
            raise InvalidSchema(
                f"{where} is a {kind!r} with the logicalType {logical!r}; expected a long with one of "
                f"{', '.join(sorted(TIMESTAMPS))}",
                field,
            )
        return AvroType(logical)


def shown_default(default: object) -> str:
    """A default for a message, at most some hundred characters."""
    text = json.dumps(default)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _expected_default(default: object, kind: AvroType) -> str:
    """What is said of a default that does not fit."""
    if kind.kind == "float" and is_number(default) and (rounded := rounded_to_four(default)) is not None:
        return f'a number that 32 bits hold exactly: the nearest is {rounded!r}; or make the field a "double"'
    if kind.kind == "double" and is_number(default):
        return "a number that 64 bits hold exactly"
    if kind.kind in TIME_RANGES and type(default) is int:
        low, high = TIME_RANGES[kind.kind]
        return f"a time of the years 1 to 9999, so a number from {low} to {high}"
    nested = " in which every part is as its own type says" if kind.kind in ("array", "map", "record") else ""
    return f"a value of type {kind.kind}{nested}"


def is_number(default: object) -> TypeGuard[int | float]:
    return isinstance(default, int | float) and not isinstance(default, bool)


def rounded_to_four(number: float) -> float | None:
    """The nearest number of 32 bits; None if there is none."""
    try:
        return float(FOUR.unpack(FOUR.pack(number))[0])
    except (OverflowError, struct.error):
        return None


def is_text(text: object) -> bool:
    """Whether it is text that UTF-8 can write: JSON may hold half a surrogate pair."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def default_fits(default: Any, kind: AvroType) -> bool:
    """Whether a JSON value may be the default of a field of this type (its null apart).

    Whatever fits is written and read back as an equal value: a row may take it when it is restored.
    """
    return _fits(default, kind, exact=True)


def _fits_rounded(default: Any, kind: AvroType) -> bool:
    """As before 32 bits had to hold a default exactly: what was released once cannot change, and is only read."""
    return _fits(default, kind, exact=False)


def _fits(default: Any, kind: AvroType, *, exact: bool) -> bool:
    match kind.kind:
        case "string":
            return is_text(default)
        case "bytes":
            return isinstance(default, str) and all(ord(letter) < 256 for letter in default)
        case "boolean":
            return isinstance(default, bool)
        case "float" | "double":
            return is_number(default) and _number_fits(default, kind.kind, exact=exact)
        case "enum":
            return default in kind.symbols
        case "array":
            return isinstance(default, list) and all(_item_fits(item, kind, exact=exact) for item in default)
        case "map":
            fits = isinstance(default, dict) and all(_item_fits(item, kind, exact=exact) for item in default.values())
            return fits and all(map(is_text, default))
        case "record":
            return isinstance(default, dict) and _record_fits(default, kind, exact=exact)
        case number:
            low, high = TIME_RANGES[number] if number in TIME_RANGES else RANGES[number]
            return type(default) is int and low <= default <= high


def _number_fits(default: float, kind: str, *, exact: bool) -> bool:
    try:
        if not math.isfinite(default):
            return False
    except OverflowError:  # a whole number of hundreds of digits
        return False
    if not exact:
        return True
    return float(default) == default and (kind == "double" or rounded_to_four(default) == default)


def _item_fits(default: Any, kind: AvroType, *, exact: bool) -> bool:
    assert kind.item is not None
    return _value_fits(default, kind.item, exact=exact)


def _value_fits(value: Any, kind: AvroType, *, exact: bool) -> bool:
    return kind.nullable if value is None else _fits(value, kind, exact=exact)


def _record_fits(default: dict[str, Any], kind: AvroType, *, exact: bool) -> bool:
    assert kind.record is not None
    fields = {field.name: field for field in kind.record.fields}
    return default.keys() <= fields.keys() and all(
        _value_fits(default[name], field.type, exact=exact) if name in default else field.default is not MISSING
        for name, field in fields.items()
    )
