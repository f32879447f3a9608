"""The outcome of one event: from the event log, the parked topic, or a marker's duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams.engine import marker
from streams.engine.envelope import log_header, parked_header
from streams.errors import ClientClosed, OutcomeTimeout
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.messages import parked_message, table_record
from streams.kafka.offsets import TopicAndPartition, ends, since
from streams.kafka.topics import TopicNames, topic_names
from streams.receipt import (
    EventOutcome,
    PublishOutcome,
    Receipt,
    duplicate_outcome,
    logged_outcome,
    parked_outcome,
    publish_outcome,
)

SKEW = 500
"""Clock skew between brokers, in ms: the log's broker may give an outcome an earlier timestamp than its event has."""


class OutcomeReader:
    """Waits for one event at a time; used by one thread. A wait ends once it is `given_up`, as another thread may say."""

    def __init__(self, clients: Clients, prefix: str, given_up: Callable[[], bool] = lambda: False) -> None:
        self._clients, self._prefix, self._given_up = clients, prefix, given_up
        self._admin = clients.admin()
        self._consumer: Consumer = clients.consumer("retold-outcomes", partition_eof=False)

    def close(self) -> None:
        self._consumer.close()

    def now(self, namespace: str, partition: int) -> Sequence[TopicPartition]:
        """Where outcomes of this partition end now: to `begin` there is to find only what comes. Raises BrokerError."""
        end = ends(self._admin, _places(topic_names(self._prefix, namespace), partition))
        return [TopicPartition(*at, offset) for at, offset in end.items()]

    def wait(self, receipt: Receipt, deadline: float, begin: Sequence[TopicPartition] | None = None) -> PublishOutcome:
        """The outcome, looked for from `begin` on, or from the time of the receipt on.

        `receipt` is delivered; `deadline` is monotonic. Raises OutcomeTimeout with what is known, and ClientClosed once given up.
        """
        assert receipt.partition is not None, "only a delivered event has an outcome"
        topics = topic_names(self._prefix, receipt.namespace)
        self._consumer.assign(list(begin or self._start_offsets(topics, receipt)))
        position = None
        try:
            for message in self._messages(deadline):
                if message.topic() == topics.table:
                    last = table_record(message)
                    if not isinstance(last, marker.Marker):
                        continue
                    position = last.inbox_next
                    became = _duplicate(last, receipt)
                elif message.topic() == topics.log:
                    became = _logged(message, receipt)
                else:
                    became = _set_aside(message, receipt)
                if became is not None:
                    return publish_outcome(receipt, became)
        finally:
            self._consumer.unassign()
        raise OutcomeTimeout(_what_is_known(receipt, topics, position))

    def _start_offsets(self, topics: TopicNames, receipt: Receipt) -> list[TopicPartition]:
        """Offsets from the time of the receipt on; if there are none, the ends, which are asked for first (rule 1a)."""
        assert receipt.partition is not None
        assert receipt.timestamp is not None
        partitions = _places(topics, receipt.partition)
        end = ends(self._admin, partitions)
        begin = since(self._admin, partitions, receipt.timestamp - SKEW)
        return [TopicPartition(*each, begin[each] if begin[each] >= 0 else end[each]) for each in partitions]

    def _messages(self, deadline: float) -> Iterator[Message]:
        while (left := deadline - self._clients.clock.monotonic()) > 0:
            if self._given_up():
                raise ClientClosed("this client was closed while it waited for an outcome; the event is published")
            message = self._consumer.poll(min(left, 0.1))
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
            elif error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                raise OutcomeTimeout(f"the outcome cannot be read from {message.topic()}: {error.str()}")


def _places(topics: TopicNames, partition: int) -> list[TopicAndPartition]:
    return [(topic, partition) for topic in (topics.log, topics.table, topics.parked)]


def _logged(message: Message, receipt: Receipt) -> EventOutcome | None:
    if message.value() is None:  # an operator's tombstone
        return None
    header = log_header(headers_of(message))
    return logged_outcome(header) if header.offset == receipt.offset else None


def _set_aside(message: Message, receipt: Receipt) -> EventOutcome | None:
    record = parked_message(message)
    if record.offset != receipt.offset or record.value is None:
        return None
    return parked_outcome(parked_header(record.headers))


def _duplicate(last: marker.Marker, receipt: Receipt) -> EventOutcome | None:
    found = (duplicate_outcome(it.outcome, it.sequence) for it in last.duplicates if it.offset == receipt.offset)
    return next(found, None)


def _what_is_known(receipt: Receipt, topics: TopicNames, position: int | None) -> str:
    what = f"{receipt.event_type} of {receipt.key!r} is in {topics.inbox}-{receipt.partition}@{receipt.offset}"
    if position is None:
        known = "nothing of that partition was handled since: is a worker running, or just restarting?"
        return f"{what} and {known} See `retold status`"
    if position <= receipt.offset:  # type: ignore[operator]  # a delivered receipt has an offset
        return f"{what} and is not handled yet: handling stands at {position}. Wait longer, or see `retold status`"
    return f"{what} and was handled, and its outcome is not here: it was moved to another partition. See `retold tail`"
