"""A namespace whose rows are not built stays out of its group, so that the others of its worker go on; then it joins again.

Out of the group it holds no partition: workers of the code before go on with all of them. Whether there is anything new of its rows
its table says, which is read beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.engine.generations import BuiltTo, RowsThere
from streams.engine.marker import Marker
from streams.errors import BrokerError, PartitionLost, RowsNotBuilt
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.messages import table_record
from streams.kafka.offsets import TopicAndPartition, starts
from streams.kafka.renewed_client import Admin

log = structlog.get_logger("retold.worker")

LOOK = 0.5
"""s between two looks."""
AGAIN, LONGEST = 5.0, 60.0
"""s after which it joins again at the earliest, twice as long each time that its rows turned out not to be built; and at most."""
RECORDS = 1_000


class FoundRows:
    """What the table says of rows of the generation `of`, up to where it was read."""

    def __init__(self, of: int) -> None:
        self._of = of
        self._there: dict[int, RowsThere] = {}
        self._news: dict[int, BuiltTo | int] = {}

    def take(self, partition: int, record: Marker | BuiltTo) -> None:
        there = self._there[partition] = self._there.get(partition, RowsThere(of=self._of)).behind(record)
        if isinstance(record, Marker):
            if there.keep == self._of:
                self._news[partition] = there.keep
        elif record.generation == self._of:
            self._news[partition] = record

    @property
    def is_lacking(self) -> bool:
        """Whether a worker would not go over to some of them."""
        return any(it.lack for it in self._there.values())

    @property
    def news(self) -> object:
        """What is otherwise once something was built, or a worker has gone over."""
        return dict(self._news)


class TablePlace(NamedTuple):
    """The table of a namespace with so many partitions, whose code has rows of `generation`. `consumer` makes one of no group."""

    table: str
    partitions: int
    generation: int
    consumer: Callable[[], Consumer]
    admin: Admin


class RowsWait:
    """`wait` and `may_join` are called in the namespace's thread, `watch` beside. `tell` tells others, and raises nothing."""

    def __init__(self, namespace: str, place: TablePlace, monotonic: Callable[[], float]) -> None:
        self._namespace, self._place, self._monotonic = namespace, place, monotonic
        self.tell: Callable[[RowsNotBuilt], None] = lambda _: None
        self.error: RowsNotBuilt | None = None
        """Why it waits; None: it does not."""
        self._said = ""
        self._tried: object = None
        """What there was of its rows when it joined again last."""
        self._pause, self._since = AGAIN, 0.0

    def wait(self, error: RowsNotBuilt) -> None:
        """The group was left, since of these rows something is not built."""
        if str(error) != self._said:
            log.error(
                "namespace waits", namespace=self._namespace,
                detail=f"namespace waits until its rows are built, and others go on: {error}",
            )  # fmt: skip
        self._said, self._since, self.error = str(error), self._monotonic(), error

    def may_join(self) -> bool:
        return self.error is None

    def watch(self, cancelled: Cancelled) -> Steps[None]:
        """Look until cancelled."""
        while not cancelled():
            if self.error is not None:
                self.tell(self.error)
                try:
                    yield from self._follow(cancelled)
                except PartitionLost:  # cancelled
                    raise
                except (BrokerError, KafkaException) as error:
                    log.warning("a table cannot be read now; retrying", table=self._place.table, error=str(error))
                    yield AGAIN
            yield LOOK

    def _follow(self, cancelled: Cancelled) -> Steps[None]:
        """Read the table until it may join."""
        place = self._place
        tables: list[TopicAndPartition] = [(place.table, number) for number in range(place.partitions)]
        found, left = FoundRows(place.generation), {number for _, number in tables}
        first = starts(place.admin, tables, cancelled=cancelled)
        with closing(place.consumer()) as consumer:
            consumer.assign([TopicPartition(*at, first[at]) for at in tables])
            while not cancelled():
                messages = consumer.consume(RECORDS, 0.0)
                left -= _taken(found, messages)
                if not left and len(messages) < RECORDS and self._is_due(found):
                    self._go_on(found)
                    return
                yield 0.0 if len(messages) == RECORDS else LOOK

    def _is_due(self, found: FoundRows) -> bool:
        is_new = found.news != self._tried
        return is_new and not found.is_lacking and self._monotonic() - self._since >= (0.0 if self._tried is None else self._pause)

    def _go_on(self, found: FoundRows) -> None:
        self._pause = AGAIN if self._tried is None else min(2 * self._pause, LONGEST)
        self._tried, self.error = found.news, None
        log.info("joining", namespace=self._namespace, reason="there is something new of its rows")


def _taken(found: FoundRows, messages: Iterable[Message]) -> set[int]:
    """The partitions that are read to their end. Raises BrokerError."""
    ended = set[int]()
    for message in messages:
        partition, error = message.partition() or 0, message.error()
        if error is None:
            record = table_record(message)
            if isinstance(record, Marker | BuiltTo):
                found.take(partition, record)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(partition)
        elif not error.retriable():
            raise BrokerError(f"reading {message.topic()} failed: {error.str()}")
    return ended
