"""Orders to quarantine a record that its partition waits at: they lie behind it, so they are looked for ahead (rule 11)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streams.engine.control import OperatorCommand, order_to_quarantine
from streams.kafka.clients import Clients

log = logging.getLogger("retold.orders")

SECONDS, CHUNK = 0.25, 1000
"""A look lasts no longer than this, however much lies behind; what librdkafka fetched meanwhile is there at once."""
AT_ONCE = 0.01


@dataclass(eq=False)
class BlockedRecord:
    """A record of the inbox that its partition waits at; `looked` is up to where an order about it was looked for."""

    offset: int
    looked: int


class OrderReader:
    """Of one inbox; used by one thread. It holds a consumer while there is a record that waits."""

    def __init__(self, clients: Clients, inbox: str) -> None:
        self._clients, self._inbox = clients, inbox
        self._consumer: Consumer | None = None
        self._reading: Mapping[int, BlockedRecord] = {}

    def look(self, records: Mapping[int, BlockedRecord]) -> dict[int, OperatorCommand]:
        """By partition, the orders about these records that were not seen by an earlier look.

        Reads on from where each was looked for, and notes how far.
        """
        consumer = self._consumer = self._consumer or self._clients.consumer("retold-orders", tell_ends=False)
        patience = AT_ONCE
        if records != self._reading:
            patience, self._reading = SECONDS, dict(records)
            consumer.assign([TopicPartition(self._inbox, at, record.looked) for at, record in records.items()])
        found: dict[int, OperatorCommand] = {}
        clock = self._clients.clock
        until = clock.monotonic() + SECONDS
        while clock.monotonic() < until and (messages := consumer.consume(CHUNK, patience)):
            for message in messages:
                if (error := message.error()) is not None:
                    log.warning("orders in %s cannot be read now: %s", self._inbox, error.str())
                    self.close()  # the next look begins again
                    return found
                partition = message.partition() or 0
                record = records[partition]
                record.looked = (message.offset() or 0) + 1
                order = order_to_quarantine(message.key(), message.value())
                if order is not None and order.offset == record.offset:
                    found[partition] = order
        return found

    def close(self) -> None:
        """Until the next look."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer, self._reading = None, {}
