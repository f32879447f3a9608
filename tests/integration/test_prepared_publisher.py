"""Publishing prepared events: what arrives, and how a failure is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace as replace_in

from streams.codec import codec_of
from streams.config import Config
from streams.engine.envelope_reader import EnvelopeReader
from streams.errors import BrokerError
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.topics import ensure
from streams.prepared_event import PreparedEvent, prepare
from streams.prepared_publisher import PreparedPublisher
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.support.inbox import Foreign
from tests.support.workers import settings

APP = probe.app()
CODEC = codec_of(APP)
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path, prefix: str, broker: str) -> Config:
    made = replace(settings(tmp_path, prefix), broker=broker)
    ensure(Clients.of(made, broker).admin(), made, ["probe", "echo"])
    return made


def event(name: str, time: datetime | None = None) -> PreparedEvent:
    data = ProbeDo(name=name)
    return prepare(data, CODEC.encode(data), f"id-{name}", "test", time)


def test_a_prepared_event_leaves_as_it_was_prepared(config: Config, broker: str) -> None:
    """With its own time, or that of its publication."""
    began = datetime.now(UTC)
    with PreparedPublisher(APP, CODEC, config, "test") as publisher:
        for each in (event("a", NOON), event("b")):
            publisher.publish(each)
    records = {(record.key() or b"").decode(): record for record in Foreign(APP, config, broker).read("probe")}
    read = {key: EnvelopeReader().read(headers_of(record)) for key, record in records.items()}
    assert sorted(records) == ["a", "b"]
    for key, record in records.items():
        assert CODEC.decode(record.value() or b"") == ProbeDo(name=key)
        assert (read[key].id, read[key].source, read[key].type) == (f"id-{key}", "test", "probe.do")
    assert read["a"].time == NOON
    assert read["b"].time is not None
    assert began <= read["b"].time <= datetime.now(UTC)


def test_an_event_that_is_not_delivered_is_named(config: Config, broker: str) -> None:
    """Though successes are not reported: the inbox takes no record of this size, and the others arrive."""
    small = event("b", NOON)
    large = replace_in(small, value=small.value + Random(1).randbytes(3_000_000))

    def publish() -> None:
        with PreparedPublisher(APP, CODEC, replace(config, max_event_bytes=8_000_000), "test") as publisher:
            for each in (event("a"), large):
                publisher.publish(each)

    with pytest.raises(BrokerError, match=r"1 event was not delivered; the first is probe\.do of 'b', id id-b"):
        publish()
    assert [record.key() for record in Foreign(APP, config, broker).read("probe")] == [b"a"]


def test_an_exception_in_the_block_still_delivers(config: Config, broker: str) -> None:
    """What was published before it was published."""

    def script() -> None:
        with PreparedPublisher(APP, CODEC, config, "test") as publisher:
            publisher.publish(event("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        script()
    assert getattr(caught.value, "__notes__", []) == []
    assert len(Foreign(APP, config, broker).read("probe")) == 1
