"""Odd schemas: what `check` accepts makes a codec, and what makes none is a sentence with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.codec import AvroCodec
from streams.errors import InvalidSchema
from streams.schemas.generate import generate, verify
from tests.unit.test_defaults import built, row

Json = Any
ENUM = {"type": "enum", "name": "E", "symbols": ["a", "b"]}


def arrays(depth: int) -> Json:
    kind: Json = "int"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def breach_of(folder: Path, text: str) -> str:
    """What `check` says of the schema of the rows of `probe`; `generate` says the same and writes nothing."""
    (folder / "schemas").mkdir()
    (folder / "schemas" / "probe.avsc").write_text(text, encoding="utf-8")
    [breach] = verify(folder / "schemas", folder / "events.py")
    with pytest.raises(InvalidSchema) as caught:
        generate(folder, Path("schemas"), Path("events.py"))
    assert not (folder / "events.py").exists()
    assert str(caught.value) == str(breach)
    return str(breach)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": ENUM | {"default": None}}, "its default is none of them"),
        ({"type": {"type": ["null", "string"]}, "default": "x"}, "expected null, as null stands first"),
        ({"type": {"type": {"type": ["null", "string"]}}, "default": "x"}, "expected null, as null stands first"),
        ({"type": {"type": ["null", "string"], "x": 1}}, "has x beside a type that is no name"),
        ({"type": {"type": {"type": "string", "x": 1}, "y": 2}}, "has y beside a type that is no name"),
        ({"type": {"type": "long", "logicalType": ["x"]}}, "with the logicalType ['x']"),
        ({"type": "int", "aliases": ["\ud800"]}, "holds \\ud800, half a surrogate pair"),
        ({"type": "int", "x": {"y": "\udfff"}}, "holds \\udfff, half a surrogate pair"),
        ({"type": arrays(33)}, "nested too deeply: at most 32"),
        ({"type": arrays(250)}, "nested too deeply: at most 32"),
    ],
)
def test_what_makes_no_codec_is_a_breach(field: Json, expected: str, tmp_path: Path) -> None:
    """Before, a worker could not start, the lock could not be read again, or the command ended in a traceback."""
    assert expected in breach_of(tmp_path, json.dumps(row(1, [{"name": "added", **field}])))


def test_a_number_with_thousands_of_digits_is_a_breach(tmp_path: Path) -> None:
    """Python reads none."""
    text = json.dumps(row(1, [{"name": "added", "type": "double", "default": 12345}])).replace("12345", "1" * 5000)
    assert "probe.avsc:1: a number has too many digits to read" in breach_of(tmp_path, text)


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ({"type": {"type": ["null", "string"]}, "default": None}, None),
        ({"type": {"type": ["string", "null"]}, "default": "x"}, "x"),
        ({"type": ENUM | {"default": "b"}, "default": "a"}, "a"),
        ({"type": {"type": "string", "x": 1}, "default": "x"}, "x"),
        ({"type": arrays(32), "default": []}, ()),
    ],
)
def test_a_type_in_an_object_is_that_type(field: Json, meant: Any) -> None:
    """As Avro's own libraries read it; the canonical text has no such object any more."""
    cls = built(row(1, [{"name": "added", **field}]))
    codec = AvroCodec([], [cls])
    made: Any = codec.decode_row(cls, codec.encode_row(cls(a="a")))
    assert made.added == meant


def test_two_files_of_one_name_are_a_breach(tmp_path: Path) -> None:
    """Both hold the record `orders_per_day.row`: one of the classes would be lost."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    for number, name in enumerate(("orders-per-day", "orders_per_day")):
        fields = [{"name": f"f{number}", "type": "int"}]
        schema = {"type": "record", "name": "orders_per_day.row", "fields": fields}
        (folder / f"{name}.avsc").write_text(json.dumps(schema), encoding="utf-8")
    assert f"orders_per_day.row is in {folder / 'orders-per-day.avsc'} too: rename one" in str(verify(folder, tmp_path / "e.py")[0])
