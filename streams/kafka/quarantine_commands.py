"""Commands to quarantine a record that blocks its partition: they lie behind it, so they are searched for ahead (rule 11)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streams.engine.control import OperatorCommand, quarantine_command
from streams.kafka.clients import Clients

log = logging.getLogger("retold.commands")

SECONDS, CHUNK = 0.25, 1000
"""A search lasts no longer than this, however much lies behind; what librdkafka fetched meanwhile is there at once."""
FIRST_TIMEOUT = 0.01


@dataclass(eq=False)
class CommandSearch:
    """The search for a command about the record at `offset`, which blocks its partition; it continues at `next_offset`."""

    offset: int
    next_offset: int


class QuarantineCommandReader:
    """Searches one inbox; used by one thread. It holds a consumer while a partition is blocked."""

    def __init__(self, clients: Clients, inbox: str) -> None:
        self._clients, self._inbox = clients, inbox
        self._consumer: Consumer | None = None
        self._reading: Mapping[int, CommandSearch] = {}

    def look(self, searches: Mapping[int, CommandSearch]) -> dict[int, OperatorCommand]:
        """By partition, the commands about these records that an earlier call did not return.

        Continues each search where it was, and updates how far it is.
        """
        consumer = self._consumer = self._consumer or self._clients.consumer("retold-commands", partition_eof=False)
        timeout = FIRST_TIMEOUT
        if searches != self._reading:
            timeout, self._reading = SECONDS, dict(searches)
            consumer.assign([TopicPartition(self._inbox, at, search.next_offset) for at, search in searches.items()])
        found: dict[int, OperatorCommand] = {}
        clock = self._clients.clock
        until = clock.monotonic() + SECONDS
        while clock.monotonic() < until and (messages := consumer.consume(CHUNK, timeout)):
            for message in messages:
                if (error := message.error()) is not None:
                    log.warning("operator commands in %s cannot be read now: %s", self._inbox, error.str())
                    self.close()  # the next call starts with a new consumer
                    return found
                partition = message.partition() or 0
                search = searches[partition]
                search.next_offset = (message.offset() or 0) + 1
                command = quarantine_command(message.key(), message.value())
                if command is not None and command.offset == search.offset:
                    found[partition] = command
        return found

    def close(self) -> None:
        """Close the consumer until the next search."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer, self._reading = None, {}
