"""Sends the clock of an import to each partition of an application."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.control import ClockCommand, encode
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.topic_contents import all_partitions
from streams.kafka.topics import describe, topic_names

CONFIRMED = 15.0
"""s that the broker has to confirm a clock."""


class ImportClockWriter:
    """Of the import `name`, which `who` publishes. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, namespaces: Sequence[str], name: str, who: str) -> None:
        self.name, self._who = name, who
        self._inboxes = [topic_names(prefix, namespace).inbox for namespace in namespaces]
        self._clients = clients
        self._partitions: list[TopicAndPartition] = []
        self._producer = ConfirmedProducer(clients, "retold-import", delivery=CONFIRMED, patience=CONFIRMED + 1.0)

    def say(self, at: int | None) -> bool:
        """No event before `at` (µs since 1970) will come; None: the import is over. Returns when all partitions have it.

        False: the application has no inbox yet. Raises BrokerError if a partition has not got it.
        """
        if not self._partitions:
            self._partitions = all_partitions(describe(self._clients.admin(), self._inboxes))
        value = encode(ClockCommand("clock", self.name, at, self._who))
        for topic, partition in self._partitions:
            self._producer.put(topic, value, b"", partition)
        self._producer.flush(
            f"the clock of the import {self.name} did not reach every inbox",
            "Publish the file again: what was handled is not handled twice; or end the import with `retold publish --release`",
        )
        return bool(self._partitions)
