"""Orders to quarantine a record that its partition waits at: they lie behind it, so they are looked for ahead (rule 11)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streams.engine.control import OperatorCommand, quarantine_command
from streams.kafka.clients import Clients

log = logging.getLogger("retold.commands")

SECONDS, CHUNK = 0.25, 1000
"""A look lasts no longer than this, however much lies behind; what librdkafka fetched meanwhile is there at once."""
AT_ONCE = 0.01


@dataclass(eq=False)
class CommandSearch:
    """A record of the inbox that its partition waits at; `next_offset` is up to where an order about it was looked for."""

    offset: int
    next_offset: int


class QuarantineCommandReader:
    """Of one inbox; used by one thread. It holds a consumer while there is a record that waits."""

    def __init__(self, clients: Clients, inbox: str) -> None:
        self._clients, self._inbox = clients, inbox
        self._consumer: Consumer | None = None
        self._reading: Mapping[int, CommandSearch] = {}

    def look(self, searches: Mapping[int, CommandSearch]) -> dict[int, OperatorCommand]:
        """By partition, the orders about these records that were not seen by an earlier look.

        Reads on from where each was looked for, and notes how far.
        """
        consumer = self._consumer = self._consumer or self._clients.consumer("retold-commands", tell_ends=False)
        timeout = AT_ONCE
        if searches != self._reading:
            timeout, self._reading = SECONDS, dict(searches)
            consumer.assign([TopicPartition(self._inbox, at, search.next_offset) for at, search in searches.items()])
        found: dict[int, OperatorCommand] = {}
        clock = self._clients.clock
        until = clock.monotonic() + SECONDS
        while clock.monotonic() < until and (messages := consumer.consume(CHUNK, timeout)):
            for message in messages:
                if (error := message.error()) is not None:
                    log.warning("orders in %s cannot be read now: %s", self._inbox, error.str())
                    self.close()  # the next look begins again
                    return found
                partition = message.partition() or 0
                search = searches[partition]
                search.next_offset = (message.offset() or 0) + 1
                command = quarantine_command(message.key(), message.value())
                if command is not None and command.offset == search.offset:
                    found[partition] = command
        return found

    def close(self) -> None:
        """Until the next look."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer, self._reading = None, {}
