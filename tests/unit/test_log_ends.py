"""How far a log is read: what stands behind its last record is no record, and is read all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams.codec import codec_of
from streams.engine.envelope import LogHeader, pack
from streams.kafka.clients import Clients
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.topics import topic_names
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.store import Store
from streams.server.readmodel.topic_reading import TopicReading
from tests.applications.bank.events import AccountOpen
from tests.support.file_filler import BANK

SPACE = topic_names("", "account")
END = 4
"""Of each partition: two records, and twice the end of their transaction."""


class Polls:
    """A consumer that gives a list of messages for each poll."""

    def __init__(self, *polls: list[Message]) -> None:
        self._polls = list(polls)
        self._left: list[Message] = []

    def poll(self, timeout: float) -> Message:
        first, *self._left = self._polls.pop(0)
        return first

    def consume(self, count: int, timeout: float) -> list[Message]:
        return self._left

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(it.topic, it.partition, END) for it in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        return 0, END


def record(partition: int, sequence: int) -> Message:
    header = LogHeader(sequence, sequence * 10, sequence - 1, "accepted", "f", id=f"id-{sequence}", time=0)
    value = codec_of(BANK).encode(AccountOpen(account="a", balance=1))
    headers: list[tuple[str, str | bytes | None]] = [("ce_type", b"account.open"), pack(header)]
    return Message(
        topic=SPACE.log, partition=partition, offset=2 * sequence - 2, key=b"a@%d" % sequence, value=value, headers=headers
    )


def end(partition: int) -> Message:
    return Message(topic=SPACE.log, partition=partition, offset=END, error=KafkaError(KafkaError._PARTITION_EOF))


def test_a_log_is_read_to_its_end_although_its_records_wait_for_others(tmp_path: Path) -> None:
    """Its end is told before its records are in the file, which another partition's are to precede."""
    codec = codec_of(BANK)
    store = Store(tmp_path, "", BANK, codec)
    store.open()
    store.partitions = {"account": 2}
    consumer = Polls([record(0, 1), record(0, 2), end(0)], [record(1, 1)], [record(1, 2), end(1)])
    ends = {(SPACE.log, number): END for number in range(2)}
    writer, learning = store.writer(), LearningCodec(codec, Clients("127.0.0.1:1"), "")
    reading = TopicReading(cast(Consumer, consumer), [SPACE], store, writer, learning, FollowerState(lambda _: None), ends)
    for _ in range(3):
        reading.step()
    found = store._db.execute("select part, next_offset, seq from position where kind = 'log' order by part").fetchall()
    assert found == [(0, END, 2), (1, END, 2)]
    store.close()
