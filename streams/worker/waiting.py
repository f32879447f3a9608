"""Partitions that wait for a schema or a handler: the others go on (rule 11).

These do when the schema arrives, or when a person orders that the record is quarantined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import KafkaException

from streams.engine.changes import Blocked
from streams.engine.control import Control
from streams.errors import BrokerError, InvalidSchema
from streams.kafka.orders import OrderReader
from streams.kafka.schemas_topic import SchemaReader

log = structlog.get_logger("retold.worker")

EVERY = 1.0


class Waiting:
    """`reader` opens the topic of schemas; `learn` gives one to the codec; `ahead` reads what lies behind a record."""

    def __init__(
        self, inbox: str, reader: Callable[[], SchemaReader], learn: Callable[[str], int], ahead: OrderReader
    ) -> None:
        self._inbox, self._open, self._learn, self.ahead = inbox, reader, learn, ahead
        self._reader: SchemaReader | None = None
        self._next = 0.0
        self._ordered: dict[int, Control] = {}
        self.blocked: dict[int, Blocked] = {}

    def wait(self, partition: int, blocked: Blocked) -> None:
        if self.blocked.get(partition) != blocked:
            log.error("waits", at=f"{self._inbox}-{partition}@{blocked.offset}", reason=blocked.reason)
        self.blocked[partition] = blocked
        self._next = 0.0

    def forget(self, partition: int) -> None:
        self.blocked.pop(partition, None)
        self._ordered.pop(partition, None)
        self.ahead.forget(partition)

    def orders(self, partition: int) -> Mapping[int, str]:
        """For the engine: who wants which record of it set aside, and why."""
        order = self._ordered.get(partition)
        return {order.offset: f"set aside by {order.who}: {order.why}"} if order is not None else {}

    def again(self) -> list[int]:
        """The partitions to try again: all if a schema arrived, else those about whose record there is an order.

        Looks once a second, and only while somebody waits.
        """
        if not self.blocked:
            self.ahead.close()
            return []
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + EVERY
        ordered = self._look_ahead()
        again = list(self.blocked) if self._learned() else ordered
        for partition in again:
            del self.blocked[partition]
        return again

    def _look_ahead(self) -> list[int]:
        try:
            found = self.ahead.look({partition: blocked.offset for partition, blocked in self.blocked.items()})
        except KafkaException as error:
            log.warning("orders cannot be read now", inbox=self._inbox, error=str(error))
            return []
        for partition, order in found.items():
            at = f"{self._inbox}-{partition}@{order.offset}"
            log.warning("set aside by order", at=at, who=order.who, why=order.why)
        self._ordered.update(found)
        return list(found)

    def _learned(self) -> bool:
        """Whether a schema arrived since we asked last."""
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

    def close(self) -> None:
        self.ahead.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
