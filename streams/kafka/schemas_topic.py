"""The schemas topic: every writer's schema by its id, so that records can be read where their writer is not deployed.

Key: the id as decimal text. Value: JSON {"name", "schema"}, the schema in its canonical text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import Message

from streams.codec import AvroCodec
from streams.engine.readable import harmless
from streams.errors import BrokerError, InvalidSchema, UnsupportedSchema
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.offsets import NoSuchTopic, ends
from streams.kafka.topic_contents import read_spans
from streams.kafka.topics import SHARED_PARTITION, describe, schemas_topic
from streams.schemas.schema_ids import canonical, id_of

log = logging.getLogger("retold.schemas")


class PublishedSchema(msgspec.Struct, frozen=True):
    """`schema` is canonical JSON text; `name` is that of its event or row."""

    name: str
    schema: str


class SchemaReader:
    """Reads the topic, each time from where it stopped. Between two calls it holds no consumer. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        self._clients, self._topic = clients, schemas_topic(prefix)
        self._admin = clients.admin("retold-schemas")
        self._id, self._next = "", 0

    def poll_new(self, timeout: float, cancelled: Cancelled = never_cancelled) -> dict[int, str]:
        """The schemas that were added since the last call, by id; all if the topic was made again, none if it is missing.

        Raises BrokerError after `timeout` s, PartitionLost when cancelled.
        """
        found = describe(self._admin, [self._topic], timeout=timeout, cancelled=cancelled)
        if self._topic not in found:
            return {}
        if found[self._topic].id != self._id:
            self._id, self._next = found[self._topic].id, 0
        try:
            end = ends(self._admin, [(self._topic, 0)], timeout=timeout, cancelled=cancelled)[self._topic, 0]
        except NoSuchTopic:  # it was deleted just now
            return {}
        span = {(self._topic, 0): (self._next, end)}
        messages = list(read_spans(self._clients, "retold-schemas", span, timeout=timeout, cancelled=cancelled))
        self._next = max(end, self._next)
        return dict(schema for message in messages if (schema := _read(message)) is not None)


def all_schemas(
    clients: Clients, prefix: str, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> dict[int, str]:
    """Every schema by its id; none if the topic is missing. Raises as `SchemaReader.poll_new` does."""
    return SchemaReader(clients, prefix).poll_new(timeout, cancelled)


def publish_schemas(clients: Clients, prefix: str, codec: AvroCodec) -> dict[int, str]:
    """Publish the codec's schemas that the topic does not have yet; returns those that it had, by their ids.

    Raises InvalidSchema if another schema has the id of one of ours, and BrokerError, also if the topic is missing.
    """
    there = all_schemas(clients, prefix)
    ours = {schema_id: PublishedSchema(name, codec.schema_text(schema_id)) for schema_id, name in codec.schema_ids().items()}
    for schema_id in ours.keys() & there.keys():
        if there[schema_id] != ours[schema_id].schema:
            raise InvalidSchema(
                f"the schema {ours[schema_id].name} has the id {schema_id}, and {schemas_topic(prefix)} holds another "
                f"one under it: {there[schema_id][:200]}. Change something in ours, for instance an alias"
            )
    missing = sorted(ours.keys() - there.keys())
    if missing:
        _refuse_without(clients, schemas_topic(prefix))
        _write(clients, schemas_topic(prefix), {schema_id: ours[schema_id] for schema_id in missing})
    return there


def _refuse_without(clients: Clients, topic: str) -> None:
    """Kafka's client waits for a topic that is not there, and then knows only that time is over."""
    if topic not in describe(clients.admin("retold-schemas"), [topic]):
        raise BrokerError(f"the topic {topic} is missing: start a worker, or make it with `retold topics --create`")


def _write(clients: Clients, topic: str, schemas: dict[int, PublishedSchema]) -> None:
    producer = ConfirmedProducer(clients, "retold-schemas")
    for schema_id, schema in schemas.items():
        producer.put(topic, msgspec.json.encode(schema), b"%d" % schema_id, SHARED_PARTITION)
    producer.flush(f"schemas could not be written to {topic}", "Try again")


def _read(message: Message) -> tuple[int, str] | None:
    """The id and the text; None, and a warning in the log, for a record that retold did not write."""
    try:
        text = msgspec.json.decode(message.value() or b"", type=PublishedSchema).schema
        schema_id = id_of(canonical(json.loads(text)))
        if b"%d" % schema_id == message.key():
            return schema_id, text
        problem = f"its schema has the id {schema_id}"
    except Exception as error:  # noqa: BLE001 - whatever another program wrote there must not stop a reader
        problem = str(error)
    log.warning("%s@%s is no schema under its id %r: %s", message.topic(), message.offset(), message.key(), problem)
    return None


def add_schemas(add: Callable[[str], int], schemas: Mapping[int, str]) -> None:
    """Add each to a codec, by its `add_schema`. One that retold does not support is logged and left out, and the others added."""
    for schema_id, text in schemas.items():
        try:
            add(text)
        except InvalidSchema as error:
            log.warning("the published schema %d is left out: %s", schema_id, harmless(str(error)))


class LearningCodec:
    """A codec that looks up a schema that it does not know in the schemas topic. Used by one thread."""

    def __init__(self, codec: AvroCodec, clients: Clients, prefix: str) -> None:
        self._codec, self._clients, self._prefix = codec, clients, prefix
        self._reader: SchemaReader | None = None

    def decode(self, value: bytes) -> Any:
        """As `AvroCodec.decode`."""
        try:
            return self._codec.decode(value)
        except UnsupportedSchema:
            if not self.learn():
                raise
            return self._codec.decode(value)

    def decode_row(self, row_type: type[Any], value: bytes) -> Any:
        """As `AvroCodec.decode_row`."""
        try:
            return self._codec.decode_row(row_type, value)
        except UnsupportedSchema:
            if not self.learn():
                raise
            return self._codec.decode_row(row_type, value)

    def schema_text(self, schema_id: int) -> str:
        """As `AvroCodec.schema_text`, of a schema that is known already."""
        return self._codec.schema_text(schema_id)

    def texts_of(self, schema_ids: Iterable[int]) -> dict[int, str]:
        """Those of these schemas that are known, once the topic was looked at for others. Raises BrokerError."""
        wanted = set(schema_ids)
        if not wanted <= self._codec.schema_ids().keys():
            self.learn()
        return {schema_id: self._codec.schema_text(schema_id) for schema_id in wanted & self._codec.schema_ids().keys()}

    def learn(self) -> bool:
        """Add new schemas from the topic; returns whether there were any."""
        if self._reader is None:
            self._reader = SchemaReader(self._clients, self._prefix)
        arrived = self._reader.poll_new(5.0)
        add_schemas(self._codec.add_schema, arrived)
        return bool(arrived)
