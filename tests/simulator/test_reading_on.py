"""Readers that go on where they stopped: of what is set aside, of schemas, and of workers' reports. In virtual time."""

from __future__ import annotations

import gc
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import codec_of, prefix_of
from streams.engine.envelope import ParkedHeader, pack
from streams.engine.records import PARKED, QUARANTINED
from streams.kafka.backlog import BacklogReader, SetAside
from streams.kafka.offset_set import OffsetSet
from streams.kafka.schemas_topic import LearningCodec, PublishedSchema, SchemaReader
from streams.kafka.task_reports import ReadReport, Report, ReportReader, ReportWriter
from streams.kafka.topics import describe
from streams.schemas.schema_ids import canonical, id_of
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import clients
from tests.simulator.time import VirtualClock

BEGIN = 1_700_000_000_000_000
"""µs since 1970 at which the clock of a Kafka in memory begins."""
TOPIC = "item-parked"


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create([TOPIC], 1)
    return it


def set_aside(kafka: MemoryBroker, offset: int, status: str, recorded: int) -> None:
    """`recorded` in µs since 1970. What is quarantined has no key that it blocks."""
    key = None if status == QUARANTINED else f"k{offset}"
    header = ParkedHeader(status, "why", "", key, "item", 0, offset, recorded)
    kafka.append((TOPIC, 0), b"%d" % offset, b"value", [pack(header)], None)


def schema(name: str) -> str:
    return canonical({"type": "record", "name": name, "fields": []})


def schema_id(name: str) -> int:
    return id_of(schema(name))


def published(name: str) -> tuple[bytes, bytes]:
    """Key and value of a schema's record."""
    return b"%d" % schema_id(name), msgspec.json.encode(PublishedSchema(name, schema(name)))


def found(kafka: MemoryBroker, reader: BacklogReader | None = None) -> SetAside:
    """By a reader that reads for the first time, or by one that has read before."""
    at = clients(kafka)
    admin = at.admin()
    aside, _ = (reader or BacklogReader(at)).read(admin, describe(admin, [TOPIC]), [TOPIC], [])
    return aside[TOPIC]


def test_a_quarantined_record_counts_and_has_no_age(kafka: MemoryBroker) -> None:
    """No command takes it out: one malformed record would turn health red an hour later, and for ever."""
    set_aside(kafka, 1, QUARANTINED, 1_000)
    assert found(kafka) == SetAside(quarantined=1)
    set_aside(kafka, 2, PARKED, 2_000)
    assert found(kafka) == SetAside(parked=1, quarantined=1, keys=1, oldest=2_000)


def test_what_is_quarantined_takes_no_more_than_a_number(kafka: MemoryBroker) -> None:
    """It stays for ever, and anybody who may publish can make a million: a server took 280 bytes for each."""
    reader, many = BacklogReader(clients(kafka)), 20_000
    for offset in range(many):
        set_aside(kafka, offset, QUARANTINED, 1_000)
    found(kafka)
    gc.collect()
    tracemalloc.start()
    try:
        assert found(kafka, reader) == SetAside(quarantined=many)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 30 * many


def test_the_last_that_is_said_of_an_event_counts(kafka: MemoryBroker) -> None:
    """It may be parked and then quarantined, quarantined twice, or taken out with Kafka's own tools; also a timer's."""
    reader = BacklogReader(clients(kafka))
    set_aside(kafka, 7, PARKED, 1_000)
    assert found(kafka, reader).parked == 1
    for status in (QUARANTINED, QUARANTINED):
        set_aside(kafka, 7, status, 1_000)
    assert found(kafka, reader) == SetAside(quarantined=1)
    set_aside(kafka, 7, PARKED, 2_000)
    set_aside(kafka, 8, QUARANTINED, 2_000)
    header = ParkedHeader(QUARANTINED, "why", "", None, "item", 0, -1, 2_000, timer=1)
    kafka.append((TOPIC, 0), b"8-1", b"value", [pack(header)], None)
    assert found(kafka, reader) == SetAside(parked=1, quarantined=2, keys=1, oldest=2_000)
    for key in (b"8", b"8-1"):
        kafka.append((TOPIC, 0), key, None, [], None)
    assert found(kafka, reader) == SetAside(parked=1, keys=1, oldest=2_000)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30))
def test_offsets_are_kept_as_in_a_set(said: list[tuple[bool, int]]) -> None:
    """In whatever order they are added and discarded."""
    kept, plain = OffsetSet(), set[int]()
    for adds, offset in said:
        (kept.add if adds else kept.discard)(offset)
        (plain.add if adds else plain.discard)(offset)
        assert (list(kept._sorted), len(kept)) == (sorted(plain), len(plain))


def test_a_topic_that_was_made_again_is_read_from_its_beginning(kafka: MemoryBroker) -> None:
    """By its id: it may have as many records as the one before, or more."""
    reader = BacklogReader(clients(kafka))
    set_aside(kafka, 1, PARKED, 1_000)
    assert found(kafka, reader).oldest == 1_000
    kafka.create([TOPIC], 1)
    for offset in (5, 6, 7):
        set_aside(kafka, offset, PARKED, offset * 1_000)
    assert found(kafka, reader) == SetAside(parked=3, keys=3, oldest=5_000)


def test_schemas_of_a_topic_that_was_made_again_are_read_from_its_beginning(kafka: MemoryBroker) -> None:
    """Else a partition stays blocked by a schema that has been published again."""
    kafka.create(["retold-schemas"], 1)
    kafka.append(("retold-schemas", 0), *published("old"), [], None)
    reader = SchemaReader(clients(kafka), "")
    assert list(reader.poll_new(1.0)) == [schema_id("old")]
    kafka.create(["retold-schemas"], 1)
    kafka.append(("retold-schemas", 0), *published("new"), [], None)
    assert list(reader.poll_new(1.0)) == [schema_id("new")]
    assert reader.poll_new(1.0) == {}


def test_reports_of_a_topic_that_was_made_again_replace_those_before(kafka: MemoryBroker) -> None:
    """A partition's state of before would be shown for as long as nobody reports on it again."""
    at, topic = clients(kafka), ("retold-tasks", 0)
    kafka.create(["retold-tasks"], 1)
    kafka.append(topic, b"item-0", msgspec.json.encode(Report("running", 1, "w")), [], None)
    reader = ReportReader(at, at.admin(), "")
    assert reader.read() == {"item-0": ReadReport("running", 1, "w", written=BEGIN)}
    kafka.create(["retold-tasks"], 1)
    kafka.append(topic, b"item-1", msgspec.json.encode(Report("running", 2, "w")), [], None)
    assert reader.read() == {"item-1": ReadReport("running", 2, "w", written=BEGIN)}


def test_a_report_that_was_deleted_is_not_told_any_more(kafka: MemoryBroker) -> None:
    """Also to whoever has read it before."""
    at, topic = clients(kafka), ("retold-tasks", 0)
    kafka.create(["retold-tasks"], 1)
    writer, reader = ReportWriter(at, at.admin(), ""), ReportReader(at, at.admin(), "")
    writer.write({"item w": Report("standby", 1, "w"), "item-0": Report("running", 1, "w")})
    assert set(reader.read() or ()) == {"item w", "item-0"}
    writer.write({"item w": None})
    assert [entry.value for _, entry in kafka.partition(topic).committed()][-1] is None
    assert reader.read() == ReportReader(at, at.admin(), "").read() == {"item-0": ReadReport("running", 1, "w", written=BEGIN)}


def test_a_published_schema_that_is_not_supported_hides_no_other(kafka: MemoryBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Other programs may write there; a reader that ended at it would read nothing that a newer deployment wrote."""
    newer = canonical({**json.loads(ProbeDo.schemas[-1]), "aliases": ["probe.did"]})
    kafka.create(["retold-schemas"], 1)
    for text in (canonical({"type": "record", "name": "theirs", "fields": [{"name": "a", "type": "theirs"}]}), newer):
        kafka.append(("retold-schemas", 0), b"%d" % id_of(text), msgspec.json.encode(PublishedSchema("x", text)), [], None)
    codec = codec_of(probe.app())
    value = prefix_of(id_of(newer)) + codec.encode(ProbeDo(name="k"))[5:]
    assert LearningCodec(codec, clients(kafka), "").decode(value) == ProbeDo(name="k")
    assert "is left out" in caplog.text
