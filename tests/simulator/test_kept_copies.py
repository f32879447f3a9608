"""No copy is lost by a request that failed: it may have a million rows, and reading on takes a moment."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import KafkaError

from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled
from streams.kafka.schemas_topic import PublishedSchema
from streams.kafka.topics import topic_names
from streams.schemas.schema_ids import canonical, id_of
from streams.worker.standby import STALE
from tests.simulator.clients import MemoryMessage
from tests.simulator.copies import CopiedSite, copies, standby_of, with_copies
from tests.simulator.workers import ENOUGH, Worker, go_on

TABLE = topic_names("", "echo").table
NEWER = canonical({
    "name": "echo.row", "type": "record",
    "fields": [{"name": "heard", "type": "long"}, {"name": "loud", "type": "boolean", "default": False}],
})  # fmt: skip
"""The row of a version that is deployed later."""


def ready(worker: Worker, partition: int) -> bool:
    return any(it.partition == partition and it.ready for it in copies(worker))


def write_newer_row(there: CopiedSite, partition: int) -> int:
    """Its offset."""
    value = b"\0" + id_of(NEWER).to_bytes(4, "big") + b"\x02\x01"
    there.broker.append((TABLE, partition), b"new", value, [], None)
    return there.lengths(partition)[TABLE] - 1


def publish_newer(there: CopiedSite) -> None:
    published = msgspec.json.encode(PublishedSchema("echo.row", NEWER))
    there.broker.append(("retold-schemas", 0), b"%d" % id_of(NEWER), published, [], None)


def rows(worker: Worker, partition: int) -> int:
    return next((it.rows for it in copies(worker) if it.partition == partition), 0)


def read_on(there: CopiedSite, worker: Worker, partition: int, more: int) -> None:
    """Until its copy is up to date again, with so many rows. Nothing that it has had is read again."""
    ends = there.lengths(partition)
    for _ in range(4 * ENOUGH):
        if rows(worker, partition) == more and ready(worker, partition) and reached(worker, partition, ends):
            break
        worker.step()
    else:
        raise AssertionError(f"the copy is not read on: {copies(worker)}")


def reached(worker: Worker, partition: int, ends: dict[str, int]) -> bool:
    copy = standby_of(worker)._followed[partition].copy
    return all(copy.position[at] >= ends[at[0]] - 1 for at in copy.partitions)  # an end may be a control record


def test_a_look_for_a_schema_that_failed_is_made_again(tmp_path: Path) -> None:
    """The broker did not answer it: the copy waits for the next look, and loses nothing."""
    there, first, second = with_copies(tmp_path, 24)
    partition, standby = min(first.partitions()), standby_of(second)
    before, learn, failures = rows(second, partition), standby._learn, [BrokerError("no answer")] * 2

    def fail(cancelled: Cancelled) -> None:
        if failures:
            raise failures.pop()
        learn(cancelled)

    standby._learn = fail
    publish_newer(there)
    new = write_newer_row(there, partition)
    there.copied_from.clear()
    read_on(there, second, partition, before + 1)
    assert not failures
    assert there.copied_from == {(TABLE, partition): new}


def test_a_copy_waits_for_a_schema_that_nobody_has_published_yet(tmp_path: Path) -> None:
    """When it is there, only that record is read."""
    there, first, second = with_copies(tmp_path, 24)
    partition = min(first.partitions())
    before = rows(second, partition)
    new = write_newer_row(there, partition)
    there.copied_from.clear()
    for _ in range(ENOUGH):
        second.step()
    publish_newer(there)
    read_on(there, second, partition, before + 1)
    assert there.copied_from == {(TABLE, partition): new}


def test_what_was_read_with_a_record_that_a_copy_cannot_take_is_let_go(tmp_path: Path) -> None:
    """At once, and not when Python looks for circles: a poll may have many megabytes, and the next one comes in a moment."""
    there, first, second = with_copies(tmp_path, 24)
    partition = min(first.partitions())
    for _ in range(3):
        write_newer_row(there, partition)
    gc.collect()
    gc.disable()
    try:
        there.read_messages.clear()
        for _ in range(ENOUGH):
            second.step()
        assert there.read_messages
        assert [it for it in there.read_messages if it() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("partition", [None, "of the other worker"])
def test_a_copy_is_kept_where_the_broker_reports_an_error(tmp_path: Path, partition: str | None) -> None:
    """Of a partition, whose topic it does not know for a moment, or of the whole consumer: what was read stays."""
    there, first, second = with_copies(tmp_path, 24)
    at = min(first.partitions())
    before, ends = rows(second, at), there.lengths(at)
    there.copied_from.clear()
    told = at if partition else None
    there.told.append(MemoryMessage((TABLE, told), -1, None, KafkaError.UNKNOWN_TOPIC_OR_PART))  # type: ignore[arg-type]  # as confluent-kafka tells of no partition
    second.step()
    second.step()
    assert not there.told
    there.hear(range(24, 36))
    go_on(there, first, second)
    read_on(there, second, at, before)
    assert there.copied_from[TABLE, at] >= ends[TABLE]


def test_a_copy_is_kept_while_the_broker_does_not_know_its_topics(tmp_path: Path) -> None:
    """As one that starts: a restore tries again later, and reads only the rest."""
    there, first, second = with_copies(tmp_path, 24)
    partition = min(first.partitions())
    there.read.clear()
    table = there.broker.topics.pop(TABLE)
    with pytest.raises(BrokerError, match="does not know the topic echo-table now"):
        second.restore(partition)
    there.broker.topics[TABLE] = table
    second.restore(partition)
    assert there.read["retold"] == 0


def test_a_copy_is_too_old_after_a_day_without_a_consumer(tmp_path: Path) -> None:
    """While no broker answers, nothing is known of what is over: attempts to read on do not make it younger."""
    there, first, second = with_copies(tmp_path, 24)
    there.broker.lists_nothing = True
    there.told.append(MemoryMessage((TABLE, None), -1, None, KafkaError._ALL_BROKERS_DOWN))  # type: ignore[arg-type]  # as above
    for _ in range(4):
        there.broker.clock.step(STALE / 3e6)
        for _ in range(2 * ENOUGH):
            second.step()
    there.broker.lists_nothing = False
    there.read.clear()
    second.restore(min(first.partitions()))
    assert there.read["retold"] > 0
