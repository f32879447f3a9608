"""Writing to the topic of corrections: with one producer, since to make one takes longer than what it writes."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from streams.errors import TopicMismatch
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.topics import SHARED_PARTITION, corrections_topic, describe

CorrectionRecord = tuple[bytes, bytes | None]
"""Key and value; None: what it had said is taken back."""


class CorrectionsWriter:
    """Used by one thread."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        self._clients, self._topic = clients, corrections_topic(prefix)
        self._offsets: list[int] = []
        self._producer: ConfirmedProducer | None = None

    def write(self, records: Sequence[CorrectionRecord], *, is_there: bool = False) -> int:
        """Of these there is one at least. Returns the last offset when the broker has them. `is_there`: the topic was just seen.

        Raises BrokerError, and TopicMismatch if the topic is missing.
        """
        if not is_there:
            self._check_topic()
        producer, self._producer = self._producer or self._made(), None
        self._offsets.clear()
        for key, value in records:
            producer.put(self._topic, value, key, SHARED_PARTITION)
        producer.flush(f"the state of a correction could not be written to {self._topic}", "Try again")
        self._producer = producer  # one that has failed is not used again
        return self._offsets[-1]

    def _made(self) -> ConfirmedProducer:
        offsets = self._offsets  # and not this object: a client keeps it

        def delivered(message: Message) -> None:
            offsets.append(message.offset() or 0)

        return ConfirmedProducer(self._clients, "retold-corrections", delivered)

    def _check_topic(self) -> None:
        """A broker may make one that is sent to, and it would forget after days."""
        if self._topic not in describe(self._clients.admin(), [self._topic]):
            raise TopicMismatch(
                f"the topic {self._topic} is missing, so nothing can be kept of a correction: bring it back from a backup if there "
                "were corrections, or make it with `retold topics --create`"
            )
