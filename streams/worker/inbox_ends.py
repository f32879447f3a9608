"""Where the inbox of a namespace ends, looked at beside its cycles, so that a scrape of metrics asks Kafka nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from confluent_kafka import KafkaException

from streams.engine.readable import harmless
from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.offsets import TopicAndPartition

log = structlog.get_logger("retold.worker")
EVERY = 5.0
"""s between two looks."""

Ends = Callable[[Sequence[TopicAndPartition]], Mapping[TopicAndPartition, int]]
"""Past every record. Raises BrokerError."""


class InboxEnds:
    """`known` has the ends that were seen last, by partition; a partition of another worker has none."""

    def __init__(self, inbox: str, partitions: Callable[[], Iterable[int]], ends: Ends) -> None:
        self._inbox, self._partitions, self._ends = inbox, partitions, ends
        self.known: Mapping[int, int] = {}

    def follow(self, cancelled: Cancelled) -> Steps[None]:
        """Look until cancelled."""
        while not cancelled():
            self.look()
            yield EVERY

    def look(self) -> None:
        """While the broker does not answer, nothing is known: an old end would hide what has come since."""
        try:
            found = self._ends([(self._inbox, number) for number in self._partitions()])
            self.known = {number: end for (_, number), end in found.items()}
        except (BrokerError, KafkaException) as error:
            self.known = {}
            log.debug("the ends of an inbox are not known", inbox=self._inbox, detail=harmless(str(error)))
