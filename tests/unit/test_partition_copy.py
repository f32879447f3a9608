"""Records that a restore takes together read as they do one by one, and one that does not read stops before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.engine.batch import PartitionWork
from streams.engine.engine import Engine
from streams.engine.envelope import VERSION_HEADER
from streams.engine.generations import LATER, BuiltTo, built_to_key, encode_built_to
from streams.engine.stored import log_record
from streams.errors import UndecodableRecord, UnsupportedSchema
from streams.kafka.topics import topic_names
from streams.worker.image_reader import ImageReader
from streams.worker.partition_copy import PartitionCopy
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.simulator.broker import Entry
from tests.simulator.memory_message import MemoryMessage

APP = probe.app()
CODEC = codec_of(APP)
NAMES = topic_names("", "echo")
ROW = CODEC.encode_row(EchoRow(heard=1))
START = {(topic, 0): 0 for topic in NAMES[1:]}

KEYS = st.sampled_from([b"k1", b"k2", "ä".encode(), b"", b"\xff", LATER + b"1+k1", LATER + b"1:k1", LATER + b"2:k1", LATER + b"x"])
VALUES = st.sampled_from([ROW, CODEC.encode_row(EchoRow(heard=2)), b"", None, b"{}", b"\x00\x00\x00\x00\x07"])
VERSIONS = st.sampled_from([b"1", b"2", b"3", b"", None, b"x", b"-1", b" 4"])
HEADERS = st.lists(st.tuples(st.sampled_from([VERSION_HEADER, "tenant"]), VERSIONS), max_size=2)


def message(topic: str, offset: int, key: bytes | None, value: bytes | None, headers: Any) -> MemoryMessage:
    return MemoryMessage((topic, 0), offset, Entry(key, value, headers, 0, None))


def rows(*versions: tuple[bytes, bytes]) -> list[Any]:
    """Records of the table, with these keys and versions."""
    return [message(NAMES.table, n, key, ROW, [(VERSION_HEADER, version)]) for n, (key, version) in enumerate(versions)]


def logged(count: int) -> list[Any]:
    """The log of so many events."""
    records = [(n, b"k", CODEC.encode(EchoHear(name="k")), [("ce_id", b"%d" % n)], 0) for n in range(count)]
    engine = Engine(APP, "echo", CODEC)
    *_, changes = engine.process(engine.image(), PartitionWork(records=records), 1)
    return [message(NAMES.log, n, *log_record(handled)) for n, handled in enumerate(changes.log)]


def copy() -> PartitionCopy:
    found = PartitionCopy(Engine(APP, "echo", CODEC), NAMES, 0, 0)
    found.rest(START, START)
    return found


def taken(records: list[Any], *, together: bool) -> tuple[dict[str, Any], str]:
    """The rows, and what stopped the reading."""
    reading, why = ImageReader(Engine(APP, "echo", CODEC), 0), ""
    try:
        if together:
            reading.take_rows(records)
        else:
            for record in records:
                reading.row(record)
    except (UndecodableRecord, UnsupportedSchema) as error:
        why = str(error)
    return dict(reading.rows.kept), why


@settings(max_examples=200)
@given(st.lists(st.tuples(KEYS, VALUES, HEADERS), max_size=6))
@example([(b"k1", b"\x00\x00\x00\x00\x07", [(VERSION_HEADER, b"1")])])
@example([(b"k1", ROW, [(VERSION_HEADER, None)])])
@example([(b"k1", ROW, [(VERSION_HEADER, b"1"), ("tenant", b"1")])])
def test_rows_that_are_taken_together_read_as_one_by_one(records: list[Any]) -> None:
    """Whatever is among them, and up to the same one that does not read."""
    built = BuiltTo(generation=1, sequence=2, offset=2, code="c")
    all_of_it = [
        *rows((b"k0", b"1")), message(NAMES.table, 1, built_to_key(1), encode_built_to(built), []),
        *(message(NAMES.table, n, *record) for n, record in enumerate(records, 2)),
    ]  # fmt: skip
    assert taken(all_of_it, together=True) == taken(all_of_it, together=False)


class AskedOnce(MemoryMessage):
    """A record with a header's name that is no text: the client says so once, and then gives what crashes who reads it."""

    asked = False

    def headers(self) -> Any:
        assert not self.asked
        self.asked = True
        raise SystemError


def test_a_row_with_headers_that_do_not_read_is_refused() -> None:
    """They are asked for once, as Confluent's client 2.16 has them. Its version is not known, and is not 0."""
    odd = AskedOnce((NAMES.table, 0), 1, Entry(b"k2", ROW, [], 0, None))
    rows_read, why = taken([*rows((b"k1", b"1")), odd], together=True)
    assert rows_read == {"k1": (ROW, 1)}
    assert "the key b'k2' has a header whose name is not UTF-8" in why


def test_rows_of_a_schema_that_was_checked_are_read_in_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one of it is not."""
    reading = ImageReader(Engine(APP, "echo", CODEC), 0)
    reading.take_rows(rows((b"k1", b"1")))
    monkeypatch.delattr(ImageReader, "row")
    reading.take_rows(rows((b"k2", b"2"), (b"k1", b"3")))
    assert dict(reading.rows.kept) == {"k1": (ROW, 3), "k2": (ROW, 2)}


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_record_that_does_not_read_is_still_the_next_one(row: int, record: int) -> None:
    """Of its topic: what comes before it is taken, and it is named with its place."""
    table, log = rows(*((b"k%d" % n, b"1") for n in range(6))), logged(6)
    table[row] = message(NAMES.table, row, b"\xff", ROW, [])
    log[record] = message(NAMES.log, record, b"rubbish", b"rubbish", [])
    for records, topic, at in ((table, NAMES.table, row), (log, NAMES.log, record)):
        found = copy()
        with pytest.raises(UndecodableRecord, match=f"^{topic}-0 cannot be read at offset {at}: "):
            found.take(records)
        assert found.position == {place: at if place[0] == topic else 0 for place in found.partitions}
        assert (len(found.reading.rows), found.reading.log.count) == ((at, 0) if topic == NAMES.table else (0, at))


def test_records_of_topics_that_come_by_turns_are_all_taken() -> None:
    """As a consumer gives them, each topic in its order."""
    found, table, log = copy(), rows(*((b"k", b"%d" % n) for n in range(6))), logged(6)
    found.take([record for pair in zip(table, log, strict=True) for record in pair])
    assert (dict(found.reading.rows.kept), found.reading.log.sequence) == ({"k": (ROW, 5)}, 6)
    assert (found.position[NAMES.table, 0], found.position[NAMES.log, 0]) == (6, 6)
