"""Restoring a partition whose records another worker wrote."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import App, Event, Namespace, Outcome
from streams.config import Config
from streams.errors import TopicMismatch
from streams.kafka.offsets import ends
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until


class NewRow(ProbeRow, frozen=True, kw_only=True):
    """The next version of the probe's row, which tells who counted."""

    schemas: ClassVar[tuple[str, ...]] = (
        *ProbeRow.schemas,
        ProbeRow.schemas[0].replace('"fields":[', '"fields":[{"name":"by","type":"string","default":""},'),
    )
    by: str = ""


def newer() -> App:
    """The probe, deployed again: an echo as before, and rows of the next version."""
    space = Namespace("probe", row=NewRow)

    @space.handles(ProbeDo, emits=[EchoHear])
    def do(row: NewRow | None, event: Event[ProbeDo]) -> Outcome[NewRow]:
        return Outcome(NewRow(count=(row.count if row else 0) + 1, texts=MappingProxyType({}), by="new"))

    return App(name="probe", namespaces=[space, probe.echo])


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


def test_an_older_worker_takes_over_what_a_newer_one_wrote(config: Config, broker: str) -> None:
    """While a deployment rolls: it learns the schemas that were published after it started, and goes on."""
    keys = [f"k{number}" for number in range(12)]
    foreign = Foreign(probe.app(), config, broker)
    with Running(probe.app(), config, broker, ["probe"]) as old:
        with Running(newer(), config, broker, ["probe"]) as new:
            foreign.publish(*(ProbeDo(name=key) for key in keys))
            until(lambda: len(old.rows("probe")) + len(new.rows("probe")) == 12, "not handled")
            assert new.rows("probe"), "the newer worker had no partition"
        foreign.publish(*(ProbeDo(name=key) for key in keys))
        until(
            lambda: old.ended() or old.rows("probe") == dict.fromkeys(keys, ProbeRow(count=2, texts={})), "not gone on"
        )
        assert not old.ended(), old.errors


def written(config: Config, broker: str, foreign: Foreign) -> None:
    """Three events of one key, handled and restored from."""
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(*[EchoHear(name="k")] * 3)
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=3)}, "not handled")


def cut(foreign: Foreign, topic: str, key: bytes, value: bytes | None) -> None:
    """Put a record for a key of a topic behind it, as an operator does who deletes one."""
    last = next(m for m in foreign.read(topic) if m.key() == key)
    producer = foreign.clients.producer()
    producer.produce(foreign.config.prefix + topic, value, last.key(), last.partition() or 0, headers=last.headers())
    assert producer.flush(20) == 0


def test_a_log_that_ends_before_its_marker_is_refused(config: Config, broker: str) -> None:
    """What is missing was lost (rule 32): the worker stops, says what it found and what to keep, and blames nobody."""
    foreign = Foreign(probe.app(), config, broker)
    written(config, broker, foreign)
    [number] = [partition for partition, last in foreign.markers("echo").items() if last.last]
    shorten(foreign, f"{config.prefix}echo-log", number)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(worker.ended, "the worker goes on")
    [error] = worker.errors
    assert isinstance(error, TopicMismatch)
    text = str(error)
    assert f"{config.prefix}echo-log-{number} ends at sequence 0, and the table's marker says 3" in text
    assert "Nothing was changed" in text
    assert "docs/troubleshooting.md" in text


def shorten(foreign: Foreign, topic: str, partition: int) -> None:
    """Delete all of a log's partition. Kafka does that for topics that are not compacted alone, so it is so for a moment."""
    admin = foreign.clients.admin()
    end = ends(admin, [(topic, partition)])[topic, partition]

    def deleted() -> bool:
        [answer] = admin.client.delete_records([TopicPartition(topic, partition, end)]).values()
        try:
            answer.result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                raise
            return False  # the log has not heard of its new policy yet
        return True

    for policy in ("delete", "compact"):
        foreign.alter(topic.removeprefix(foreign.config.prefix), "cleanup.policy", policy)
        if policy == "delete":
            until(deleted, "the log may not be shortened")


@pytest.mark.parametrize("key", [b"k@1", b"k@3"], ids=["the oldest", "the newest"])
def test_a_log_record_that_an_operator_deleted_is_no_loss(config: Config, broker: str, key: bytes) -> None:
    """A tombstone is the only thing that removes one (rule 20); its sequence stays in its key, and handling goes on."""
    foreign = Foreign(probe.app(), config, broker)
    written(config, broker, foreign)
    cut(foreign, "echo-log", key, None)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=4)}, "not gone on")
    assert [m.key() for m in foreign.read("echo-log")][-1] == b"k@4"


def test_the_last_records_of_a_log_are_known_however_many_offsets_they_take(tmp_path: Path, prefix: str, broker: str) -> None:
    """Each transaction ends with a record of Kafka's own: the window counts events, or it would hold half as many."""
    config = settings(tmp_path, prefix, partitions="1", duplicate_window="4")
    foreign = Foreign(probe.app(), config, broker)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        for n in range(6):
            foreign.publish(EchoHear(name="k"), ce_id=f"{n}")
            until(lambda n=n: worker.rows("echo") == {"k": EchoRow(heard=n + 1)}, "not handled")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        for n in range(2, 7):
            foreign.publish(EchoHear(name="k"), ce_id=f"{n}")
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=7)}, "the new event was not handled")
    [marker] = foreign.markers("echo").values()
    assert marker.counters.duplicates == 4


def test_aborted_records_at_the_end_of_a_log_hide_nothing(tmp_path: Path, prefix: str, broker: str) -> None:
    """A worker whose transactions were aborted for an hour leaves a log whose last records are none."""
    config = settings(tmp_path, prefix, partitions="1", duplicate_window="4")
    foreign = Foreign(probe.app(), config, broker)
    written(config, broker, foreign)
    producer = foreign.clients.transactional_producer(f"{prefix}aborts", "aborts", lambda *_: None)
    producer.init_transactions(20)
    producer.begin_transaction()
    for n in range(200):
        producer.produce(f"{prefix}echo-log", b"", b"k@%d" % (4 + n), 0)
    producer.flush(20)
    producer.abort_transaction(20)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=4)}, "not gone on")


def test_a_worker_starts_where_handled_events_of_its_inbox_were_deleted(config: Config, broker: str) -> None:
    """Until its restore knows where to go on, it asks for nothing before the first record: Kafka has none at offset 0."""
    foreign = Foreign(probe.app(), config, broker)
    heard = 20
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish_together({f"{n}": EchoHear(name=f"k{n}") for n in range(heard)})
        until(lambda: worker.counted("echo", "accepted") == heard, "not handled")
    places = [TopicPartition(f"{config.prefix}echo", at, last.inbox_next) for at, last in foreign.markers("echo").items()]
    admin = foreign.clients.admin()
    for answer in admin.client.delete_records(places).values():
        answer.result(20)
    for n in range(4):  # most starts asked for records before the partitions were paused
        with Running(probe.app(), config, broker, ["echo"]) as worker:
            foreign.publish(EchoHear(name=f"again{n}"))
            until(lambda n=n: worker.counted("echo", "accepted") == heard + n + 1, "not handled")
        assert worker.errors == []
