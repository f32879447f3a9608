"""Partitions that wait for a schema or a handler: the others go on, and these do when the schema arrives (rule 11)."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from streams.engine.records import Blocked
from streams.errors import BrokerError, InvalidSchema
from streams.kafka.schemas_topic import SchemaReader

log = structlog.get_logger("retold.worker")

EVERY = 1.0


class Waiting:
    """`reader` opens the topic of schemas; `learn` gives one to the codec."""

    def __init__(self, inbox: str, reader: Callable[[], SchemaReader], learn: Callable[[str], int]) -> None:
        self._inbox, self._open, self._learn = inbox, reader, learn
        self._reader: SchemaReader | None = None
        self._next = 0.0
        self.blocked: dict[int, Blocked] = {}

    def wait(self, partition: int, blocked: Blocked) -> None:
        if self.blocked.get(partition) != blocked:
            log.error("waits", at=f"{self._inbox}-{partition}@{blocked.offset}", reason=blocked.reason)
        self.blocked[partition] = blocked
        self._next = 0.0

    def forget(self, partition: int) -> None:
        self.blocked.pop(partition, None)

    def learned(self) -> bool:
        """Whether a schema arrived since we asked last; asks once a second, and only while somebody waits."""
        if not self.blocked or time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + EVERY
        if self._reader is None:
            self._reader = self._open()
        try:
            arrived = self._reader.poll_new(2.0)
        except (BrokerError, KafkaException) as error:
            log.warning("schemas cannot be read now", inbox=self._inbox, error=str(error))
            return False
        for text in arrived.values():
            try:
                self._learn(text)
            except InvalidSchema as error:
                log.warning("a schema is not taken", inbox=self._inbox, error=str(error))
        return bool(arrived)

    def release(self) -> list[int]:
        """The partitions to try again."""
        partitions = list(self.blocked)
        self.blocked.clear()
        return partitions

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
