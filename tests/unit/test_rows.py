"""Rows that a restore has read stay bytes until their key is handled."""

from __future__ import annotations

import pytest

from streams.codec import codec_of
from streams.engine.batch import PartitionWork
from streams.engine.engine import Engine
from streams.engine.envelope import VERSION_HEADER
from streams.errors import UndecodableRecord, UnsupportedSchema
from streams.worker.image_reader import ImageReader
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support.kept import Kept

APP = probe.app()
CODEC = codec_of(APP)


def reading(*rows: tuple[str, bytes, int]) -> ImageReader:
    """What the table topic holds, as a restore takes it."""
    found = ImageReader(Engine(APP, "echo", CODEC), 0)
    for key, value, version in rows:
        found.row(Kept(key.encode(), value, [(VERSION_HEADER, b"%d" % version)]))  # type: ignore[arg-type]  # reads alike
    return found


def test_a_restored_row_is_decoded_when_its_key_is_handled() -> None:
    """The others stay bytes; who looks at one meanwhile, from whatever thread, changes nothing."""
    engine = Engine(APP, "echo", CODEC)
    image = reading(*((f"k{n}", CODEC.encode_row(EchoRow(heard=n)), n) for n in range(1, 4))).image()
    assert dict(image.rows) == {f"k{n}": (EchoRow(heard=n), n) for n in range(1, 4)}
    assert all(isinstance(row, bytes) for row, _ in image.rows._kept.values())
    work = PartitionWork(records=[(0, b"k2", CODEC.encode(EchoHear(name="k2")), [], 0)])
    *_, changes = engine.process(image, work, 1)
    assert changes.rows["k2"][0] == EchoRow(heard=3)
    assert [key for key, (row, _) in image.rows._kept.items() if not isinstance(row, bytes)] == ["k2"]
    image.apply(changes)
    assert image.rows["k2"] == (EchoRow(heard=3), 1)


def test_a_deleted_row_keeps_its_version() -> None:
    """It is no row, and not absent."""
    image = reading(("k1", CODEC.encode_row(EchoRow(heard=1)), 1), ("k1", b"", 2), ("k2", b"", 3)).image()
    assert (image.rows.entry("k1"), image.rows["k2"], image.rows.present()) == ((None, 2), (None, 3), [])
    assert image.rows.entry("k3") is None


def test_a_row_whose_schema_is_not_known_is_refused_at_the_restore() -> None:
    """And not when its key is handled: a worker that cannot read a table does not begin."""
    with pytest.raises(UnsupportedSchema, match="nobody here knows the schema id 7"):
        reading(("k", b"\x00\x00\x00\x00\x07", 1))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (CODEC.encode_row(ProbeRow(count=1, texts={})), "another namespace"),
        (CODEC.encode(ProbeDo(name="k")), "does not belong here"),
        (b"{}", "begins with"),
    ],
    ids=["another row", "an event", "no Avro"],
)
def test_what_is_no_row_of_this_table_is_refused_at_the_restore(value: bytes, says: str) -> None:
    """As it was when rows were decoded there."""
    with pytest.raises(UndecodableRecord, match=says):
        reading(("k", value, 1))


def test_an_event_whose_row_does_not_read_is_parked() -> None:
    """Nobody wrote such bytes; its key waits for a person, and the others go on."""
    engine, good = Engine(APP, "echo", CODEC), CODEC.encode_row(EchoRow(heard=1))
    image = reading(("torn", good[:-1] + b"\xff\xff", 1), ("k", good, 2)).image()
    records = [(n, key, CODEC.encode(EchoHear(name=key.decode())), [], 0) for n, key in enumerate((b"torn", b"k"))]
    *_, changes = engine.process(image, PartitionWork(records=records), 1)
    assert ([it.entity for it in changes.set_aside], changes.rows) == (["torn"], {"k": (EchoRow(heard=2), 1)})
