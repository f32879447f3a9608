"""Orders to quarantine a record that its partition waits at: they lie behind it, so they are looked for ahead (rule 11)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from streams.engine.control import Control, order_to_quarantine
from streams.kafka.clients import Clients

log = logging.getLogger("retold.orders")

SECONDS, CHUNK = 0.25, 1000
"""A look lasts no longer than this, however much lies behind; what librdkafka fetched meanwhile is there at once."""
AT_ONCE = 0.01


class OrderReader:
    """Of one inbox; used by one thread. It holds a consumer while there is a record that waits."""

    def __init__(self, clients: Clients, inbox: str) -> None:
        self._clients, self._inbox = clients, inbox
        self._consumer: Consumer | None = None
        self._waiting: dict[int, int] = {}
        self.next: dict[int, int] = {}
        """By partition, up to where was looked."""

    def look(self, waiting: Mapping[int, int]) -> dict[int, Control]:
        """The orders about the records at `waiting` (offset by partition) that were not seen by an earlier look.

        Reads on behind each, and from its beginning for a record that was not waited for before.
        """
        consumer = self._consumer = self._consumer or self._clients.consumer("retold-orders", tell_ends=False)
        patience = AT_ONCE
        if waiting != self._waiting:
            patience = SECONDS
            kept = {at: self.next[at] for at, offset in waiting.items() if self._waiting.get(at) == offset}
            self.next = {at: kept.get(at, offset + 1) for at, offset in waiting.items()}
            self._waiting = dict(waiting)
            consumer.assign([TopicPartition(self._inbox, at, offset) for at, offset in self.next.items()])
        found: dict[int, Control] = {}
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and (messages := consumer.consume(CHUNK, patience)):
            for message in messages:
                if (error := message.error()) is not None:
                    log.warning("orders in %s cannot be read now: %s", self._inbox, error.str())
                    self.close()  # the next look begins anew
                    return found
                partition = message.partition() or 0
                self.next[partition] = (message.offset() or 0) + 1
                order = order_to_quarantine(message.key(), message.value())
                if order is not None and order.offset == waiting.get(partition):
                    found[partition] = order
        return found

    def forget(self, partition: int) -> None:
        """Should it wait again, even at the same record, it is read from there."""
        self._waiting.pop(partition, None)

    def close(self) -> None:
        """Until the next look."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer, self._waiting, self.next = None, {}, {}
