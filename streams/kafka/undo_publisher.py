"""Publishes the events that take calls of gateways back."""

from __future__ import annotations

from streams.data import namespace_of
from streams.engine.attributes import attributes
from streams.engine.event_handlers import Limits
from streams.engine.records import Codec
from streams.engine.wire_format import too_large
from streams.history.correction.correction_calls import UndoEvent
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.topics import topic_names


class UndoPublisher:
    """Used by one thread. `largest` is how many bytes an event may hold."""

    def __init__(self, clients: Clients, prefix: str, codec: Codec, largest: int) -> None:
        self._prefix, self._codec, self._limits = prefix, codec, Limits(event_bytes=largest)
        self._producer = ConfirmedProducer(clients, "retold-undo")

    def publish(self, event: UndoEvent) -> None:
        """Raises InvalidEvent for one that is too large or has a field that is wrong. `flush` waits until the broker has it."""
        value = self._codec.encode(event.data)
        if len(value) > self._limits.event_bytes:
            raise too_large("the event that takes a call back", value, self._limits)
        inbox = topic_names(self._prefix, namespace_of(event.data.event_type)).inbox
        headers = attributes(event.id, event.source, None, None, None)
        self._producer.put(inbox, value, event.data.key.encode(), headers=headers)

    def flush(self) -> None:
        """Raises BrokerError: publish the events again, they have the same ids."""
        self._producer.flush("an event that takes a call back did not reach its inbox", "Apply the correction again")
