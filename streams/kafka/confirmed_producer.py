"""A producer without transactions, of which one waits until the broker has everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message

from streams.engine.records import Header
from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.words_of_errors import words_of


class ConfirmedProducer:
    """Used by one thread. `delivered` is called with each record that the broker has, by `put` or `flush`.

    The client gives a record up after `delivery` s, and `flush` waits for `patience` s.
    """

    def __init__(
        self, clients: Clients, name: str, delivered: Callable[[Message], object] = lambda _: None, *, delivery: float = 10.0,
        patience: float = 15.0,
    ) -> None:  # fmt: skip
        self._failed, self._patience = list[KafkaError](), patience
        failed = self._failed

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            """It knows nothing of this object: the client keeps it, and would stay until garbage is collected, with its threads."""
            if error is not None:
                failed.append(error)
            else:
                delivered(message)

        self._producer = clients.producer(name, delivery=delivery, on_delivery=on_delivery)

    def put(self, topic: str, value: bytes | None, key: bytes, partition: int = -1, headers: Sequence[Header] = ()) -> None:
        """Send a record; -1: to the partition of its key. Waits while the client's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=[*headers] or None)
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self, what: str, then: str) -> None:
        """Returns when the broker has all that was put. Else raises BrokerError: `what`, why, and what to do `then`."""
        left, failed = self._producer.flush(self._patience), [*self._failed]
        self._failed.clear()
        if left or failed:
            why = words_of(failed[0]) if failed else f"no confirmation in {self._patience:.0f} s"
            raise BrokerError(f"{what}: {why}. {then}")
