"""The Message of a `MemoryBroker`: what a consumer is given, and a producer's delivery report."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from tests.simulator.broker import Entry, TopicAndPartition


class MemoryMessage:
    """A record as a consumer gives it, or, without an `entry`, the end of a partition or another error."""

    __slots__ = ("__weakref__", "_entry", "_error", "_offset", "_topic_partition")

    def __init__(
        self, topic_partition: TopicAndPartition, offset: int, entry: Entry | None, error: int = KafkaError._PARTITION_EOF
    ) -> None:
        self._topic_partition, self._offset, self._entry, self._error = topic_partition, offset, entry, error

    def topic(self) -> str:
        return self._topic_partition[0]

    def partition(self) -> int:
        return self._topic_partition[1]

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return KafkaError(self._error) if self._entry is None else None

    def key(self) -> bytes | None:
        return self._entry.key if self._entry else None

    def value(self) -> bytes | None:
        return self._entry.value if self._entry else None

    def headers(self) -> list[tuple[str, Any]] | None:
        return (self._entry.headers or None) if self._entry else None

    def timestamp(self) -> tuple[int, int]:
        return (1, self._entry.timestamp if self._entry else -1)

    def __len__(self) -> int:
        return len(self.value() or b"")
