"""Log records that an operator deleted (docs/troubleshooting.md): every reader goes on without them, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.fold import fold
from streams.kafka.outcomes import OutcomeReader
from streams.kafka.tables_and_logs import Tail
from streams.kafka.topics import topic_names
from streams.receipt import Receipt
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import Entry
from tests.simulator.clients import MemoryConsumer, clients
from tests.simulator.workers import MemorySite, Worker

LOG = "echo-log"
CODEC = codec_of(probe.app())


@pytest.fixture
def site(tmp_path: Path) -> MemorySite:
    """Its log has five events of one key, of which the second is compacted away: only its tombstone is left."""
    it = MemorySite(probe.app(), "echo", tmp_path)
    for _ in range(5):
        it.publish(EchoHear(name="k"))
    worker = Worker(it, 0)
    while not it.handled():
        worker.step()
    worker.stop()
    log = it.broker.partition(partition_of(it)).entries
    [deleted] = [offset for offset, entry in enumerate(log) if entry.key == b"k@2"]
    log[deleted] = Entry(None, None, [], log[deleted].timestamp, None, control=True)
    it.broker.append(partition_of(it), b"k@2", None, [], None)
    return it


def partition_of(site: MemorySite) -> tuple[str, int]:
    """The log's partition that has records."""
    [number] = [number for number, it in enumerate(site.broker.topics[LOG]) if it.end]
    return LOG, number


LEFT = [1, 3, 4, 5]


def test_a_tail_shows_what_is_left(site: MemorySite) -> None:
    """Past, present, and the last few. A projection reads its logs like this, too."""
    tail = Tail(clients(site.broker), "", ["echo"], CODEC)
    assert [event.sequence for event in tail.beginning()] == LEFT
    assert [event.sequence for event in tail.last(2)] == LEFT[-2:]
    site.broker.append(partition_of(site), b"k@3", None, [], None)
    stop = iter([False, False, True])
    assert list(tail.follow(lambda: next(stop))) == []


def test_an_outcome_behind_a_tombstone_is_found(site: MemorySite) -> None:
    """Whoever waits reads the tombstone of another event on the way."""
    _, number = partition_of(site)
    inbox = site.broker.topics[topic_names("", "echo").inbox][number]
    receipt = Receipt("echo", "echo.hear", "k", "")
    receipt.partition, receipt.offset, receipt.timestamp = number, inbox.end - 1, inbox.entries[0].timestamp
    log = site.broker.topics[LOG][number].entries
    log.insert(0, log.pop())
    outcome = OutcomeReader(clients(site.broker), "").wait(receipt, site.broker.clock.monotonic() + 5)
    assert (outcome.outcome, outcome.sequence) == ("accepted", 5)


def test_a_fold_leaves_a_tombstone_out(site: MemorySite) -> None:
    """The rows are those of the events that are left."""
    engine = Engine(probe.app(), "echo", CODEC)
    image = fold(engine, engine.image(0), [(message.value(), message.headers() or []) for message in records(site)])
    assert (image.sequence, image.rows["k"][0].heard) == (5, 4)  # type: ignore[union-attr]  # it has a row


def records(site: MemorySite) -> list:
    """All of the log that a reader is given."""
    options = {"group.id": "g", "isolation.level": "read_committed"}
    consumer, at = MemoryConsumer(site.broker, options), partition_of(site)
    consumer._at = {at: 0}
    return consumer.consume(100, 0)
