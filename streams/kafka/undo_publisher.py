"""Publishes the events that take calls of gateways back."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from streams.data import namespace_of
from streams.engine.attributes import attributes
from streams.engine.event_handlers import Limits
from streams.engine.records import Codec
from streams.engine.wire_format import too_large
from streams.errors import BrokerError
from streams.history.correction.correction_calls import UndoEvent
from streams.kafka.clients import Clients
from streams.kafka.topics import topic_names

CONFIRMED = 15.0
"""s that the broker has to confirm them."""


class UndoPublisher:
    """Used by one thread. `largest` is how many bytes an event may hold."""

    def __init__(self, clients: Clients, prefix: str, codec: Codec, largest: int) -> None:
        self._prefix, self._codec, self._limits = prefix, codec, Limits(event_bytes=largest)
        self._failed: list[KafkaError] = []
        self._producer = clients.producer("retold-undo", delivery=CONFIRMED - 5.0, on_delivery=self._delivered)

    def publish(self, event: UndoEvent) -> None:
        """Raises InvalidEvent for one that is too large or has a field that is wrong. `flush` waits until the broker has it."""
        value = self._codec.encode(event.data)
        if len(value) > self._limits.event_bytes:
            raise too_large("the event that takes a call back", value, self._limits)
        inbox = topic_names(self._prefix, namespace_of(event.data.event_type)).inbox
        headers = attributes(event.id, event.source, None, None, None)
        while True:
            try:
                self._producer.produce(inbox, value, event.data.key.encode(), headers=[*headers])
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self) -> None:
        """Raises BrokerError: publish the events again, they have the same ids."""
        if self._producer.flush(CONFIRMED) or self._failed:
            why = self._failed[0].str() if self._failed else f"no confirmation in {CONFIRMED:.0f} s"
            raise BrokerError(f"an event that takes a call back did not reach its inbox: {why}. Apply the correction again")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error)
