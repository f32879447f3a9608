"""A foreign producer and a foreign reader: plain confluent clients that know nothing of retold but the topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams import App
from streams.codec import codec_of
from streams.config import Config
from streams.data import EventData
from streams.engine import marker
from streams.kafka.bounded_read import read_to
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.kafka.topics import ensure, topic_names
from tests.applications import probe


class Foreign:
    """Writes into inboxes what it is told to, right or wrong, and reads topics to their end."""

    def __init__(self, app: App, config: Config, address: str) -> None:
        self.app, self.config = app, config
        self.clients = Clients.of(config, address)
        self.codec = codec_of(app)
        self._producer = self.clients.producer()
        self._admin = self.clients.admin()

    def publish(self, *events: EventData, **headers: str) -> None:
        for data in events:
            namespace = data.event_type.partition(".")[0]
            self.write(namespace, self.codec.encode(data), data.key.encode(), **headers)

    def publish_together(self, events: Mapping[str, EventData]) -> None:
        """By their ids, without waiting for each; all are delivered when this returns."""
        reports: list[KafkaError | None] = []
        for name, data in events.items():
            topic = topic_names(self.config.prefix, data.event_type.partition(".")[0]).inbox
            value, key = self.codec.encode(data), data.key.encode()
            self._producer.produce(
                topic, value, key, headers=[("ce_id", name.encode())], on_delivery=lambda error, _: reports.append(error)
            )
        assert self._producer.flush(60) == 0
        assert_delivered(reports)

    def write(
        self, namespace: str, value: bytes | None, key: bytes | None, partition: int = -1, **headers: Any
    ) -> None:
        """One record, delivered when this returns."""
        reports: list[KafkaError | None] = []
        topic = topic_names(self.config.prefix, namespace).inbox
        pairs = [(name, text.encode() if isinstance(text, str) else text) for name, text in headers.items()]
        self._producer.produce(
            topic, value, key, partition, headers=pairs, on_delivery=lambda error, _: reports.append(error)
        )
        assert self._producer.flush(60) == 0
        assert_delivered(reports)

    def alter(self, topic: str, setting: str, value: str) -> None:
        """A setting of `topic` (its name without the prefix)."""
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.config.prefix + topic, incremental_configs=[entry])
        [answer] = self._admin.client.incremental_alter_configs([resource]).values()
        answer.result(20)

    def read(self, topic: str, *, isolated: bool = True) -> list[Message]:
        """Every committed record of `topic` (its name without the prefix), partition by partition."""
        topic = self.config.prefix + topic
        partitions = range(len(self._admin.client.list_topics(topic, timeout=60).topics[topic].partitions))
        end = ends(self._admin, [(topic, partition) for partition in partitions])
        consumer = self.clients.consumer(read_uncommitted=not isolated)
        try:
            spans = {(topic, partition): (0, end[topic, partition]) for partition in partitions}
            return sorted(read_to(consumer, spans, clock=self.clients.clock, timeout=90), key=lambda m: (m.partition(), m.offset()))
        finally:
            consumer.close()

    def markers(self, namespace: str) -> dict[int, marker.Marker]:
        """The last marker of each partition."""
        records = [m for m in self.read(f"{namespace}-table") if m.key() == marker.KEY]
        return {m.partition() or 0: marker.decode(m.value() or b"") for m in records}

    def rows(self, namespace: str) -> dict[str, Any]:
        """The rows that a reader of the table topic has, byte by byte; deleted ones left out."""
        records = [m for m in self.read(f"{namespace}-table") if m.key() != marker.KEY]
        last = {(m.key() or b"").decode(): m.value() for m in records}
        return {key: value for key, value in last.items() if value}


def assert_delivered(reports: list[KafkaError | None]) -> None:
    """A KafkaError cannot be compared with None: confluent-kafka raises a SystemError."""
    failed = [error.str() for error in reports if error is not None]
    assert not failed, failed


def of_probe(config: Config, broker: str) -> Foreign:
    """Of the application `probe`, whose topics are made."""
    found = Foreign(probe.app(), config, broker)
    ensure(found.clients.admin(), config, ["probe", "echo"])
    return found
