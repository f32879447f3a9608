"""A copy of one partition: what was read of its topics, and how far. Whoever reads on needs only the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import length_hint
from typing import Protocol

from confluent_kafka import Message

from streams.engine.engine import Engine
from streams.errors import UndecodableRecord
from streams.kafka.messages import placed
from streams.kafka.offsets import Offsets, TopicAndPartition
from streams.kafka.topics import TopicNames
from streams.worker.due_bodies import IN_MEMORY
from streams.worker.image_reader import ImageReader

Spans = dict[TopicAndPartition, tuple[int, int]]
"""By topic and partition, the first offset to read, and the end."""


class PartitionCopy:
    """Used by one thread at a time. It has records that were committed, each of its topics up to its offset in `position`.

    `log_from` is where reading the log began: a restore needs its last records only. `as_of` is when it was last known to have
    all that there was, in µs since 1970; before that, when it was begun. `due_bytes`: so much timers and calls may take.
    """

    def __init__(self, engine: Engine, names: TopicNames, partition: int, now: int, due_bytes: int = IN_MEMORY) -> None:
        self.partition, self._due_bytes = partition, due_bytes
        self.as_of = now
        self._engine, self._names = engine, names
        self._log, self._window = (names.log, partition), engine.limits.window
        self.partitions: list[TopicAndPartition] = [
            (topic, partition) for topic in (names.table, names.parked, names.due, names.log)
        ]
        self.clear()

    def clear(self) -> None:
        """Forget all that was read."""
        names, partition = self._names, self.partition
        self.reading = reading = ImageReader(self._engine, partition, self._due_bytes)
        self.position: Offsets = {}
        self.log_from = 0
        self._takes: dict[str, Callable[[Iterator[Message]], None]] = {
            names.table: reading.take_rows, names.log: reading.log.take,
            names.parked: partial(_one_by_one, reading.parked), names.due: partial(_one_by_one, reading.due),
        }  # fmt: skip

    def forget_stale(self) -> bool:
        """Forget all that was read if rows were built anew since: what was folded behind the former ones is not theirs."""
        if stale := self.reading.is_stale:
            self.clear()
        return stale

    def take(self, messages: Sequence[Message]) -> None:
        """The next records of its topics. If that raises, the record that it raises for is still the next one of its topic.

        Those of one topic are taken together: to call for each what it takes is a good part of a restore's time.
        """
        for topic, some in _by_topic(messages).items():
            take, left = self._takes[topic], iter(some)
            try:
                take(left)
            except Exception as error:
                failed = some[-1 - length_hint(left)]  # the last one that was asked for
                self.position[topic, self.partition] = failed.offset() or 0
                if isinstance(error, UndecodableRecord):
                    raise placed(error, failed) from error
                raise
            self.position[topic, self.partition] = (some[-1].offset() or 0) + 1

    @property
    def read_to(self) -> tuple[int, int]:
        """Up to where the parked and the due topic were read."""
        return self.position[self._names.parked, self.partition], self.position[self._names.due, self.partition]

    def fits(self, start: Mapping[TopicAndPartition, int], end: Mapping[TopicAndPartition, int]) -> bool:
        """Whether its topics go on from where it stands: none was cut off behind it, and none begins only later."""
        return all(start[at] <= offset <= end[at] for at, offset in self.position.items())

    def rest(self, start: Mapping[TopicAndPartition, int], end: Mapping[TopicAndPartition, int]) -> Spans:
        """What is to be read up to these ends: of the log, at first, only as many offsets as the duplicate window has records."""
        if not self.position:
            self.position = {at: start[at] for at in self.partitions}
            self.log_from = self.position[self._log] = max(start[self._log], end[self._log] - self._window)
        return {at: (offset, end[at]) for at, offset in self.position.items()}


def _by_topic(messages: Sequence[Message]) -> dict[str, list[Message]]:
    """In the order of each topic."""
    found = defaultdict[str, list[Message]](list)
    for message in messages:
        found[message.topic() or ""].append(message)
    return found


def _one_by_one(take: Callable[[Message], None], messages: Iterator[Message]) -> None:
    for message in messages:
        take(message)


class Copies(Protocol):
    """Copies of partitions that are kept up to date. From any thread."""

    def take(self, partition: int) -> PartitionCopy | None:
        """The copy of a partition that is assigned to us now, if there is one: it is the caller's then."""

    def put_back(self, copy: PartitionCopy) -> None:
        """Keep a copy that the caller does not use any more."""


class NoCopies:
    """Copies of a worker that keeps none."""

    def take(self, partition: int) -> None:
        pass

    def put_back(self, copy: PartitionCopy) -> None:
        pass


NO_COPIES = NoCopies()
