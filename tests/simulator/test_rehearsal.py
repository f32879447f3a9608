"""A retry that is rehearsed does what the retry does, byte for byte, and writes nothing; in virtual time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import murmur2

from streams import App
from streams.cli.commands.parked_rehearsal import rehearsal_lines
from streams.codec import codec_of
from streams.engine.control import OperatorCommand, encode
from streams.engine.stored import log_record
from streams.kafka.topics import topic_names
from streams.worker.partition_restore import described_restorer
from streams.worker.rehearsal import Rehearsal, rehearse
from tests.applications import timed
from tests.applications.timed.events import AlarmTouch
from tests.simulator.clients import clients
from tests.simulator.workers import PARTITIONS, MemorySite, Worker
from tests.support.other_code import Handler, with_change

TOPICS = topic_names("", "alarm")


def forgiving(handler: Handler) -> Handler:
    """The mended handler: what raised for 99 is handled as 1."""

    def changed(row: Any, event: Any) -> Any:
        if event.data.number == 99:
            data = AlarmTouch(name=event.data.name, number=1, after=event.data.after, other=event.data.other)
            return handler(row, type(event)(data, event.id, event.time, event.cause, event.correlation, event.source))
        return handler(row, event)

    return changed


def mended() -> App:
    return with_change(timed.app(), AlarmTouch, forgiving)


def settle(site: MemorySite, worker: Worker) -> None:
    for _ in range(200):
        worker.step()
        if site.handled():
            return
    raise AssertionError("it does not settle")


def committed(site: MemorySite, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    return [
        (at, entry.key, entry.value) for at in range(PARTITIONS) for entry in site._committed(topic, at) if entry.key is not None
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_rehearsed_retry_is_the_retry(seed: int, tmp_path: Path) -> None:
    """The same log records, the same row, the same queue, whatever is parked; and no topic has anything new."""
    chosen, site = random.Random(seed), MemorySite(timed.app(), "alarm", tmp_path)
    site.publish(AlarmTouch(name="k", number=2, after=0, other=""))
    site.publish(AlarmTouch(name="k", number=99, after=0, other=""))
    for _ in range(chosen.randint(0, 12)):
        site.publish(AlarmTouch(name="k", number=chosen.choice([1, 2, 3, 10, 99]), after=chosen.choice([0, 0, 2]), other=""))
    worker = Worker(site, 0)
    settle(site, worker)
    worker.stop()
    at = int(murmur2(b"k", PARTITIONS))
    [first, *_] = sorted(int(key) for _, key, value in committed(site, TOPICS.parked) if key and value)
    command = OperatorCommand("retry", "k", first, "ann")
    site.app = chosen.choice([mended(), mended(), timed.app()])

    before = {topic: committed(site, topic) for topic in TOPICS[1:]}
    found = rehearsed(site, command, at)
    assert {topic: committed(site, topic) for topic in TOPICS[1:]} == before

    site.broker.append((TOPICS.inbox, at), b"k", encode(command), None, None)
    worker = Worker(site, 1)
    settle(site, worker)
    worker.stop()
    logged = committed(site, TOPICS.log)[len(before[TOPICS.log]) :]
    assert [(at, *log_record(it)[:2]) for it in found.changes.log] == logged
    rows = {key: value for _, key, value in committed(site, TOPICS.table)}
    assert all(rows[key.encode()] == value for key, value in found.changes.row_bytes.items())
    left = [int(key) for _, key, value in committed(site, TOPICS.parked) if key]
    gone = {int(key) for _, key, value in committed(site, TOPICS.parked) if key and not value}
    assert {it.position.offset for it in found.changes.queues["k"]} == set(left) - gone
    shown = "\n".join("".join(text for text, _ in line) for line in rehearsal_lines(found, "k", f"alarm-{at}"))
    assert all(f"parked      alarm-{at}@{it}: " in shown for it in set(left) - gone)


def rehearsed(site: MemorySite, command: OperatorCommand, partition: int) -> Rehearsal:
    codec = codec_of(site.app)
    there = clients(site.broker)
    restorer = described_restorer(site.app, site.config, there, codec, "alarm")
    return rehearse(restorer, there.clock, command, partition, lambda *_: None)
