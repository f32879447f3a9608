"""The generated module: what it holds, that it is deterministic, and that nobody edits it unnoticed."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streams.codec import AvroCodec
from streams.errors import FrozenSchemaChanged, InvalidSchema, SchemaError
from streams.schemas.files import load
from streams.schemas.generate import generate, release, stale, verify
from streams.schemas.render import class_name, render

PROJECT = Path(__file__).parents[2]
LINE = {
    "type": "record",
    "name": "Line",
    "doc": "One kind of goods",
    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "int", "default": 1}],
}
ORDER = {
    "type": "record",
    "name": "row",
    "namespace": "order",
    "doc": 'An """order""" with a \\ in its doc. ' + "It is described in many more words than one line can hold. " * 3,
    "fields": [
        {"name": "lines", "type": {"type": "array", "items": LINE}},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["open", "paid"]}, "default": "open"},
        {"name": "prices", "type": {"type": "map", "values": "double"}, "default": {"b": 1, "a": 2.5}},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 1500},
        {"name": "raw", "type": "bytes", "default": "\u00ff"},
        {"name": "gift", "type": ["null", "Line"], "default": None},
        {"name": "first", "type": "Line", "default": {"sku": "s"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["\U0001f600'\"\n"]},
        {"name": "paid", "type": "boolean", "default": False},
        {"name": "ratio", "type": "float", "default": -0.0},
        {"name": "number", "type": "long", "default": -5},
        {"name": "since", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
    ],
}
PLACE = {
    "type": "record",
    "name": "order.place_now",
    "key": "order",
    "fields": [{"name": "order", "type": "string"}, {"name": "lines", "type": {"type": "array", "items": LINE}}],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one namespace whose schemas use every type."""
    folder = tmp_path / "schemas" / "order"
    folder.mkdir(parents=True)
    (tmp_path / "schemas" / "order.avsc").write_text(json.dumps(ORDER, indent=1), encoding="utf-8")
    (folder / "place_now.avsc").write_text(json.dumps(PLACE, indent=1), encoding="utf-8")
    return tmp_path


def written(project: Path) -> Path:
    generate(project, Path("schemas"), Path("shop/events.py"))
    return project / "shop" / "events.py"


def module(source: str) -> Any:
    """The generated source as a module that annotations can be looked up in."""
    made = types.ModuleType("generated_for_a_test")
    sys.modules[made.__name__] = made
    exec(compile(source, "events.py", "exec"), made.__dict__)
    return made


def test_the_classes_are_those_of_the_schemas(project: Path) -> None:
    """Every type and default of the schemas is there, and the codec takes the classes."""
    events = module(written(project).read_text(encoding="utf-8"))
    line = events.Line(sku="s")
    row = events.OrderRow(lines=(line,))
    assert (row.status, dict(row.prices), row.raw, row.gift, row.first) == (
        "open",
        {"a": 2.5, "b": 1.0},
        b"\xff",
        None,
        line,
    )
    assert (row.placed, row.since) == (
        datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    )
    assert (row.tags, row.paid, row.ratio, row.number) == (("\U0001f600'\"\n",), False, 0.0, -5)
    codec = AvroCodec([events.OrderPlaceNow], [events.OrderRow])
    assert codec.decode_row(events.OrderRow, codec.encode_row(row)) == row
    event = events.OrderPlaceNow(order="o1", lines=(line,))
    assert (event.event_type, event.key) == ("order.place_now", "o1")
    assert codec.decode(codec.encode(event)) == event


def test_the_module_passes_the_linter(project: Path) -> None:
    """Nobody has to exempt the generated file, however long its schemas and docs."""
    config = str(PROJECT / "pyproject.toml")
    command = [sys.executable, "-m", "ruff", "check", "--config", config, str(written(project))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "All checks passed!\n")


def test_a_second_run_changes_nothing(project: Path) -> None:
    """The report names what is new; written again, nothing is."""
    first = generate(project, Path("schemas"), Path("shop/events.py"))
    assert (first.written, first.added) == (True, ["order.place_now", "order.row"])
    assert [path.name for path in first.files] == ["lock.json", "events.py"]
    second = generate(project, Path("schemas"), Path("shop/events.py"))
    assert (second.written, second.added, second.changed, second.removed, second.files) == (False, [], [], [], [])


def test_a_full_disk_leaves_the_lock_that_was_there(project: Path) -> None:
    """What was released is stored nowhere else; nothing is left beside it."""
    written(project)
    release(project / "schemas")
    lock = project / "schemas" / "lock.json"
    lock.chmod(0o640)
    before, there = lock.read_text(encoding="utf-8"), sorted(lock.parent.iterdir())
    changed = PLACE | {"name": "order.place_soon"}
    (project / "schemas/order/place_soon.avsc").write_text(json.dumps(changed, indent=1), encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            written(project)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (lock.read_text(encoding="utf-8"), sorted(lock.parent.iterdir())) == (before, there)
    written(project)
    assert ("order.place_soon" in lock.read_text(encoding="utf-8"), lock.stat().st_mode & 0o777) == (True, 0o640)


def test_the_layout_of_a_file_does_not_show(project: Path) -> None:
    """The same schema in another order of properties gives the same module."""
    before = written(project).read_text(encoding="utf-8")
    turned = dict(reversed(PLACE.items()))
    (project / "schemas/order/place_now.avsc").write_text(json.dumps(turned), encoding="utf-8")
    assert before == render(load(project / "schemas"), {})


def test_an_edit_is_noticed(project: Path) -> None:
    """A generated file that somebody touched is stale, and so is one of older schemas."""
    output = written(project)
    assert not stale(project / "schemas", output)
    assert verify(project / "schemas", output) == []
    output.write_text(output.read_text(encoding="utf-8").replace("sku: str", "sku: int"), encoding="utf-8")
    assert stale(project / "schemas", output)
    (breach,) = verify(project / "schemas", output)
    assert breach.file == output
    assert "run `retold schemas generate`" in breach.message
    output.unlink()
    assert "are not there" in verify(project / "schemas", output)[0].message


def test_a_lock_that_is_missing_is_no_fault_of_the_classes(project: Path) -> None:
    """It is reported under its own path, as missing or as out of date; what generates it makes it good."""
    output = written(project)
    lock = project / "schemas" / "lock.json"
    text = lock.read_text(encoding="utf-8")
    lock.unlink()
    (breach,) = verify(project / "schemas", output)
    assert (breach.file, breach.message.partition(":")[0]) == (lock, "the lock is missing")
    lock.write_text("{}", encoding="utf-8")
    (breach,) = verify(project / "schemas", output)
    assert (breach.file, breach.message.partition(":")[0]) == (lock, "the lock is out of date")
    written(project)
    assert (verify(project / "schemas", output), lock.read_text(encoding="utf-8")) == ([], text)


def test_a_changed_schema_makes_the_module_stale(project: Path) -> None:
    """A field that was added to a draft asks for new classes."""
    output = written(project)
    changed = PLACE | {"fields": [*PLACE["fields"], {"name": "note", "type": "string"}]}
    (project / "schemas/order/place_now.avsc").write_text(json.dumps(changed), encoding="utf-8")
    assert stale(project / "schemas", output)
    report = generate(project, Path("schemas"), Path("shop/events.py"))
    assert (report.written, report.changed) == (True, ["order.place_now"])


def test_a_release_freezes(project: Path) -> None:
    """After a release the file may not change under its version: nothing is generated, and the check names the line."""
    output = written(project)
    before = output.read_text(encoding="utf-8")
    assert release(project / "schemas") == ["order.place_now v1", "order.row v1"]
    assert release(project / "schemas") == []
    assert verify(project / "schemas", output) == []
    path = project / "schemas/order/place_now.avsc"
    path.write_text(json.dumps(PLACE | {"aliases": ["order.place"]}, indent=1), encoding="utf-8")
    (breach,) = verify(project / "schemas", output)
    assert (path, 3) == (breach.file, breach.line)
    with pytest.raises(FrozenSchemaChanged, match=r"place_now\.avsc:3: version 1 of order\.place_now is released"):
        generate(project, Path("schemas"), Path("shop/events.py"))
    with pytest.raises(FrozenSchemaChanged):
        release(project / "schemas")
    assert before == output.read_text(encoding="utf-8")


def test_a_class_carries_every_version(project: Path) -> None:
    """The released texts come first and the newest last, so that a worker reads old records without any file."""
    written(project)
    release(project / "schemas")
    extended = [*PLACE["fields"], {"name": "note", "type": "string", "default": ""}]
    newer = PLACE | {"version": 2, "fields": extended}
    (project / "schemas/order/place_now.avsc").write_text(json.dumps(newer), encoding="utf-8")
    events = module(written(project).read_text(encoding="utf-8"))
    assert [json.loads(text).get("version", 1) for text in events.OrderPlaceNow.schemas] == [1, 2]


def test_nothing_is_written_for_a_mistake(project: Path) -> None:
    """Every mistake is reported at once, and the classes of before stay."""
    output = written(project)
    before = output.read_text(encoding="utf-8")
    (project / "schemas/order.avsc").write_text("{", encoding="utf-8")
    (project / "schemas/order/place_now.avsc").write_text("[]", encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        generate(project, Path("schemas"), Path("shop/events.py"))
    assert len(str(caught.value).splitlines()) == 2
    assert [breach.file.name for breach in verify(project / "schemas", output)] == ["place_now.avsc", "order.avsc"]
    assert before == output.read_text(encoding="utf-8")


def test_a_broken_file_is_not_called_gone(project: Path) -> None:
    """A typo in a released schema is one breach: the typo."""
    output = written(project)
    release(project / "schemas")
    (project / "schemas/order.avsc").write_text("{", encoding="utf-8")
    assert [breach.file.name for breach in verify(project / "schemas", output)] == ["order.avsc"]


def test_two_schemas_of_one_class_clash(project: Path) -> None:
    """A part called like an event's class is an error that names both."""
    part = {"type": "record", "name": "OrderRow", "fields": [{"name": "n", "type": "int"}]}
    clash = PLACE | {"fields": [*PLACE["fields"], {"name": "more", "type": part}]}
    (project / "schemas/order/place_now.avsc").write_text(json.dumps(clash), encoding="utf-8")
    with pytest.raises(InvalidSchema, match=r"order\.OrderRow and order\.row would both be the class OrderRow"):
        generate(project, Path("schemas"), Path("shop/events.py"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("user.signup", "UserSignup"), ("order.line_reserved", "OrderLineReserved"), ("Line", "Line")],
)
def test_how_a_class_is_called(name: str, expected: str) -> None:
    """Words begin with a capital and stand together."""
    assert expected == class_name(name)


def test_no_folder_is_a_breach(tmp_path: Path) -> None:
    """A check without schemas says so instead of finding nothing wrong."""
    (breach,) = verify(tmp_path / "schemas", tmp_path / "events.py")
    assert "no such folder" in breach.message


def test_no_schema_gives_an_empty_module(tmp_path: Path) -> None:
    """A new application may begin with nothing."""
    (tmp_path / "schemas").mkdir()
    assert "__all__: list[str] = []" in written(tmp_path).read_text(encoding="utf-8")


def test_the_demonstration_is_of_today() -> None:
    """The checked-in classes and lock are those of the checked-in schemas, all released."""
    assert verify(PROJECT / "schemas", PROJECT / "processors" / "events.py") == []
    lock = json.loads((PROJECT / "schemas" / "lock.json").read_text(encoding="utf-8"))
    assert all(version["released"] for versions in lock.values() for version in versions)
