"""A Kafka consumer of one topic's partition 0 whose records are in memory."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, Message, TopicPartition

from streams.engine.records import Headers


class MemoryConsumer:
    """What streams/server/readmodel/follower.py asks of a consumer. `add` is a record that was committed; at the end it says so."""

    def __init__(self, topic: str) -> None:
        self._topic, self._records = topic, list[Message]()
        self._next, self._paused, self._told = 0, False, False

    def add(self, value: bytes, headers: Headers, key: bytes = b"k") -> None:
        offset = len(self._records)
        self._records.append(
            Message(topic=self._topic, partition=0, offset=offset, key=key, value=value, headers=headers)
        )
        self._told = False

    def end_again(self) -> Message:
        """That the partition has ended, as a consumer may still tell it of before it was paused."""
        end = KafkaError(KafkaError._PARTITION_EOF)
        return Message(topic=self._topic, partition=0, offset=len(self._records), error=end)

    def poll(self, timeout: float) -> Message | None:
        if self._paused:
            return None
        if self._next < len(self._records):
            self._next += 1
            return self._records[self._next - 1]
        if self._told:
            return None
        self._told = True
        return self.end_again()

    def consume(self, count: int, timeout: float) -> list[Message]:
        found = []
        while len(found) < count and (message := self.poll(0)) is not None:
            found.append(message)
        return found

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(partition.topic, partition.partition, self._next) for partition in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        return 0, len(self._records)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused = True

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused = False

    def seek(self, partition: TopicPartition) -> None:
        self._next = partition.offset

    def replace(self, offset: int, value: bytes, headers: Headers) -> None:
        """What stands at an offset reads from now on, as after a schema has come."""
        self._records[offset] = Message(
            topic=self._topic, partition=0, offset=offset, key=b"k", value=value, headers=headers
        )

    def remove_last(self) -> None:
        """The last record is gone, and its place is empty."""
        self._records.pop()
        self._told = False

    def list_topics(self, topic: str, *, timeout: float) -> None:
        """The broker answers."""
