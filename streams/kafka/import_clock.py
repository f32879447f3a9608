"""Sends the clock of an import to each partition of an application."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, Message

from streams.engine.control import ClockCommand, encode
from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.topics import describe, topic_names

CONFIRMED = 15.0
"""s that the broker has to confirm a clock."""


class ImportClockWriter:
    """Of the import `name`, which `who` publishes. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, namespaces: Sequence[str], name: str, who: str) -> None:
        self.name, self._who = name, who
        self._inboxes = [topic_names(prefix, namespace).inbox for namespace in namespaces]
        self._clients = clients
        self._failed: list[KafkaError] = []
        self._partitions: list[TopicAndPartition] = []
        self._producer = clients.producer("retold-import", delivery=CONFIRMED, on_delivery=self._delivered)

    def say(self, at: int | None) -> bool:
        """No event before `at` (µs since 1970) will come; None: the import is over. Returns when all partitions have it.

        False: the application has no inbox yet. Raises BrokerError if a partition has not got it.
        """
        if not self._partitions:
            found = describe(self._clients.admin(), self._inboxes)
            self._partitions = [(topic, number) for topic, info in found.items() for number in range(info.partitions)]
        self._failed.clear()
        value = encode(ClockCommand("clock", self.name, at, self._who))
        for topic, partition in self._partitions:
            self._producer.produce(topic, value, b"", partition)
        left = self._producer.flush(CONFIRMED + 1.0)
        if left or self._failed:
            why = self._failed[0].str() if self._failed else f"no confirmation in {CONFIRMED:.0f} s"
            raise BrokerError(f"the clock of the import {self.name} did not reach every inbox: {why}")
        return bool(self._partitions)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error)
