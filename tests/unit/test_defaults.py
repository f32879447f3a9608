"""Defaults of schemas: whatever is accepted is written and read back as an equal value, in whatever it is nested."""

from __future__ import annotations

import builtins
import itertools
import json
import keyword
import sys
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import AvroCodec
from streams.errors import InvalidSchema
from streams.schemas.avro import MISSING, parse
from streams.schemas.files import SchemaFile
from streams.schemas.generate import generate, release, verify
from streams.schemas.lock import Lock, update
from streams.schemas.render import render
from streams.schemas.schema_ids import canonical

Json = Any
Typed = tuple[Json, Json, Any]
"""The type as a schema has it, the default as JSON, and the value that it means."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROS = [-62_135_596_800_000_000, 253_402_300_799_999_999]
"""The first and the last microsecond of the years 1 to 9999."""
WORDS = st.sampled_from([*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "UTC", "datetime", "Line", "self", "Record"])


def time_of(number: int, unit: int) -> datetime:
    return EPOCH + timedelta(microseconds=number * unit)


def logical(name: str) -> Json:
    return {"type": "long", "logicalType": name}


def any_number(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high) | st.sampled_from([low, high, 0, -1])


numbers = st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False) | st.integers() | st.sampled_from([0.1, -0.0, 10**400])
texts = st.text(st.characters(codec=None, exclude_categories=[]))
"""With halves of surrogate pairs, which JSON may hold."""
PLAIN: list[st.SearchStrategy[Typed]] = [
    texts.map(lambda text: ("string", text, text)),
    st.binary().map(lambda raw: ("bytes", raw.decode("latin-1"), raw)),
    st.booleans().map(lambda it: ("boolean", it, it)),
    any_number(-(2**31), 2**31 - 1).map(lambda it: ("int", it, it)),
    any_number(-(2**63), 2**63 - 1).map(lambda it: ("long", it, it)),
    numbers.map(lambda it: ("float", it, it)),
    numbers.map(lambda it: ("double", it, it)),
    any_number(-(2**63), 2**63 - 1).map(lambda it: (logical("timestamp-micros"), it, None)),
    any_number(*MICROS).map(lambda it: (logical("timestamp-micros"), it, time_of(it, 1))),
    any_number(*(it // 1000 for it in MICROS)).map(lambda it: (logical("timestamp-millis"), it, time_of(it, 1000))),
    any_number(-(2**63), 2**63 - 1).map(lambda it: (logical("timestamp-millis"), it, None)),
]


def nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    """A value in a list, a map, a union or a record, and another one of that record that takes its default."""
    array = inner.map(lambda it: ({"type": "array", "items": it[0]}, [it[1]], None if it[2] is None else (it[2],)))
    mapped = st.tuples(inner, texts).map(lambda it: ({"type": "map", "values": it[0][0]}, {it[1]: it[0][1]}, None))
    union = inner.filter(lambda it: not isinstance(it[0], list)).map(lambda it: ([it[0], "null"], it[1], it[2]))
    return array | mapped | union | st.tuples(inner, inner, WORDS | st.none()).map(record)


def record(parts: tuple[Typed, Typed, str | None]) -> Typed:
    (given, value, _), (left, default, _), name = parts
    fields = [{"name": "given", "type": given}, {"name": "left", "type": left, "default": default}]
    made = {"type": "record", "name": name or "Part", "fields": fields}
    return made, {"given": value}, None


def enum(symbols: list[str]) -> Typed:
    return {"type": "enum", "name": "Enum", "symbols": symbols}, symbols[-1], symbols[-1]


PLAIN.append(st.lists(WORDS, min_size=1, max_size=4, unique=True).map(enum))
typed = st.recursive(st.one_of(PLAIN), nested, max_leaves=4)


def first_of_names(schema: Json, seen: set[str]) -> Json:
    """A schema may define a name once."""
    if isinstance(schema, list):
        return [first_of_names(it, seen) for it in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: first_of_names(it, seen) if name in ("type", "items", "values", "fields") else it for name, it in schema.items()}
    if "name" in schema and schema.get("type") in ("record", "enum"):
        while made["name"] in seen:
            made["name"] += "x"
        seen.add(made["name"])
    return made


NUMBERS = itertools.count()


def row(version: int, fields: Json, **others: Json) -> Json:
    first = {"name": "a", "type": "string"}
    return {"type": "record", "name": "probe.row", "version": version, "fields": [first, *fields], **others}


def built(*schemas: Json) -> Any:
    """The class of a row with these versions, as it is generated. Raises InvalidSchema."""
    files = [SchemaFile(Path("probe.avsc"), parse(json.dumps(schema)), canonical(schema)) for schema in schemas]
    lock: Lock = {}
    for file in files:
        released = {name: [msgspec.structs.replace(v, released=True) for v in versions] for name, versions in lock.items()}
        lock = update([file], released)
    module = types.ModuleType(f"generated{next(NUMBERS)}")  # its own: annotations are looked up there, once they are needed
    sys.modules[module.__name__] = module
    exec(compile(render(files[-1:], lock), module.__name__, "exec"), vars(module))
    return vars(module)["ProbeRow"]


@given(typed)
def test_whatever_is_accepted_as_a_default_reads_back_equal(found: Typed) -> None:
    """Also from a record of the version before, whose reader takes the default when a row is restored."""
    kind, default, meant = found
    field = first_of_names({"name": "added", "type": kind, "default": default}, {"row"})
    try:
        parse(json.dumps(row(2, [field])))
    except InvalidSchema:
        return
    try:
        cls = built(row(1, []), row(2, [field]))
    except InvalidSchema:  # a record of a name that no class may have
        return
    codec = AvroCodec([], [cls])
    made = cls(a="a")
    frozen, value = codec.encode_frozen(made)
    assert frozen == made
    assert codec.decode_row(cls, value) == made
    assert meant is None or made.added == meant
    old = built(row(1, []))
    assert codec.decode_row(cls, AvroCodec([], [old]).encode_row(old(a="a"))) == made


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        ("float", 0.1, "the nearest is 0.10000000149011612; or make the field a \"double\""),
        ("float", 1e39, "expected a value of type float"),
        ("double", 2**53 + 1, "a number that 64 bits hold exactly"),
        ("double", 10**400, "expected a number that 64 bits hold exactly"),
        (logical("timestamp-micros"), 2**62, "a time of the years 1 to 9999"),
        (logical("timestamp-millis"), -(10**14), "a time of the years 1 to 9999"),
        ("string", "\ud800", "expected a value of type string"),
        ({"type": "array", "items": "float"}, [0.5, 0.1], "in which every part is as its own type says"),
        ({"type": "map", "values": "int"}, {"\udfff": 1}, "in which every part is as its own type says"),
        (
            {"type": "record", "name": "Part", "fields": [{"name": "a", "type": "int"}]},
            {"a": 1, "misspelt": 2},
            "in which every part is as its own type says",
        ),
    ],
)  # fmt: skip
def test_a_default_that_cannot_be_kept_is_a_breach(
    kind: Json, default: Json, expected: str, tmp_path: Path
) -> None:
    """`check` says what is wrong with it; a worker would end when it restores, or the command with a traceback."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    schema = row(1, [{"name": "added", "type": kind, "default": default}])
    (folder / "probe.avsc").write_text(json.dumps(schema), encoding="utf-8")
    [breach] = verify(folder, tmp_path / "events.py")
    assert expected in str(breach)


def test_a_released_float_default_is_still_read() -> None:
    """It was accepted once, and a released schema never changes: only new ones may not have it."""
    text = canonical(row(1, [{"name": "rate", "type": "float", "default": 0.1}]))
    assert parse(text, written=True).fields[1].default is not MISSING
    AvroCodec([], []).add_schema(text)


def test_the_default_of_a_key_is_a_key(tmp_path: Path) -> None:
    """An event that takes it could never be published."""
    (tmp_path / "probe").mkdir()
    schema = {"type": "record", "name": "probe.do", "key": "a", "fields": [{"name": "a", "type": "string", "default": ""}]}
    (tmp_path / "probe" / "do.avsc").write_text(json.dumps(schema), encoding="utf-8")
    [breach] = verify(tmp_path, tmp_path / "events.py")
    assert 'probe.do.a is the key and has the default ""; expected 1 to 512 bytes' in str(breach)


@pytest.mark.parametrize("name", ["none", "true", "false", "uTC", "record", "literal"])
def test_a_record_whose_class_would_break_the_module_is_refused(name: str, tmp_path: Path) -> None:
    """Nothing is generated."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    part = {"type": "record", "name": name, "fields": [{"name": "a", "type": "int"}]}
    (folder / "probe.avsc").write_text(json.dumps(row(1, [{"name": "part", "type": part}])), encoding="utf-8")
    with pytest.raises(InvalidSchema, match=r"rename (it|one)"):
        generate(tmp_path, Path("schemas"), Path("events.py"))
    assert "rename" in str(verify(folder, tmp_path / "events.py")[0])


@given(WORDS, WORDS)
def test_a_module_with_any_names_that_are_accepted_is_python(part: str, field: str) -> None:
    """Words of Python, soft ones, and names of builtins, as a record and as a field."""
    inner = {"type": "record", "name": part, "fields": [{"name": field, "type": ["null", "string"], "default": None}]}
    times = {"name": "at", "type": logical("timestamp-micros"), "default": 0}
    try:
        cls = built(row(1, [{"name": field, "type": inner}, times]))
    except InvalidSchema:
        return
    AvroCodec([], [cls])


def test_a_doc_with_any_letter_makes_no_broken_module() -> None:
    """Python takes no NUL in its source, and UTF-8 no half of a surrogate pair."""
    built(row(1, [], doc='A \x00 and a \ud800, \x1b[2J and """'))


def test_a_part_without_a_namespace_can_have_a_next_version(tmp_path: Path) -> None:
    """Its canonical text keeps the empty namespace: else the name would read as another one, and every next version break."""
    folder = tmp_path / "schemas"
    folder.mkdir()

    def write(version: int, *more: Json) -> None:
        part = {"type": "record", "name": "Part", "namespace": "", "fields": [{"name": "a", "type": "int"}]}
        schema = row(version, [{"name": "part", "type": part}, *more])
        (folder / "probe.avsc").write_text(json.dumps(schema), encoding="utf-8")

    write(1)
    release(folder)
    write(2, {"name": "b", "type": "int", "default": 0})
    assert generate(tmp_path, Path("schemas"), Path("events.py")).changed == ["probe.row"]


NAMESPACES: list[Callable[[Json], Json]] = [lambda it: it, lambda it: it | {"namespace": ""}, lambda it: it | {"namespace": "x.y"}]


@given(st.lists(st.sampled_from(NAMESPACES), min_size=3, max_size=3))
def test_a_canonical_text_means_what_its_schema_means(homes: list[Callable[[Json], Json]]) -> None:
    """Wherever a namespace is given, or taken away again."""
    kind: Json = homes[0]({"type": "enum", "name": "E", "symbols": ["a"]})
    for number, home in enumerate(homes[1:]):
        kind = home({"type": "record", "name": f"R{number}", "fields": [{"name": "a", "type": kind}]})
    schema = row(1, [{"name": "part", "type": kind}])
    text = canonical(schema)
    assert parse(text) == parse(json.dumps(schema))
    assert canonical(json.loads(text)) == text


@pytest.mark.parametrize("home", [None, 1, "a b", "a..b"])
def test_a_namespace_is_a_name(home: Json) -> None:
    """Else the canonical text would be no schema."""
    part = {"type": "record", "name": "Part", "namespace": home, "fields": [{"name": "a", "type": "int"}]}
    with pytest.raises(InvalidSchema, match='"namespace" of Part is'):
        parse(json.dumps(row(1, [{"name": "part", "type": part}])))
