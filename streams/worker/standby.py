"""Copies of the partitions that this worker does not own, kept up to date: who takes one over reads only the rest.

A copy is a restore that goes on. It has committed records only, decides nothing, and is used only through a restore, which
checks all that it checks without one. The consumer here is no member of the group (rule 6).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.engine.readable import harmless, in_a_line
from streams.errors import PartitionLost, StreamsError, UnsupportedSchema
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, starts
from streams.kafka.renewed_client import Admin
from streams.worker.partition_copy import PartitionCopy

log = structlog.get_logger("retold.worker")

RECORDS, IDLE = 500, 0.1
"""Records that are taken at once; s until the next look if there were none."""
SHARE = 0.5
"""The most of its time that it works while the worker owns partitions: handling shares an interpreter with it."""
LATER, REFUSED = 5.0, 60.0
"""s until a partition is read on after a request about it failed, and after a record that cannot be read here."""
STALE = 24 * 3600 * 1_000_000
"""µs. The tombstone of what is parked or due is kept for 7 days: a copy that did not see it would keep what is over."""

Owned = Callable[[], Collection[int]]
"""The partitions that this worker owns, restored or not."""


class CopyState(NamedTuple):
    """`done` of `total` offsets were read when it was begun to be followed; `ready`: it has had all that there was since."""

    partition: int
    ready: bool
    done: int
    total: int
    rows: int


@dataclass(eq=False)
class Followed:
    """A copy, and how far following it is: `first` and `goal` are sums of offsets. `at_end`: the topics that have no more now.

    `learned` is the id of the last schema that was looked for. It is not read before `until` (monotonic clock).
    """

    copy: PartitionCopy
    first: int = 0
    goal: int = 0
    at_end: set[TopicAndPartition] = field(default_factory=set)
    ready: bool = False
    learned: int | None = None
    until: float = 0.0

    def begin(self, start: Offsets, end: Offsets) -> Iterator[TopicPartition]:
        """Where to read on. A copy whose topics do not go on from where it is begins anew."""
        if not self.copy.fits(start, end):
            log.warning("topics do not go on where a copy ends; reading them again", partition=self.copy.partition)
            self.copy.clear()
            self.ready = False
        rest = self.copy.rest(start, end)
        self.first, self.goal = (sum(offsets) for offsets in zip(*rest.values(), strict=True))
        self.at_end.clear()
        return (TopicPartition(*at, first) for at, (first, _) in rest.items())

    def take(self, messages: Sequence[Message]) -> None:
        """Records, and ends of its topics. Raises KafkaException for other errors: what is before them is taken."""
        records: list[Message] = []
        for message in messages:
            if message.error() is None:
                records.append(message)
                continue
            self._take(records)
            records = []
            _raise_for_error(message)
            self.at_end.add((message.topic() or "", message.partition() or 0))
            self.ready |= len(self.at_end) == len(self.copy.partitions)
        self._take(records)

    def _take(self, records: Sequence[Message]) -> None:
        self.at_end.difference_update((message.topic() or "", message.partition() or 0) for message in records)
        self.copy.take(records)

    def wait(self, until: float) -> None:
        """Do not read it before then (monotonic clock): meanwhile it is not known to have all that there is."""
        self.until = until
        self.at_end.clear()

    @property
    def is_current(self) -> bool:
        return len(self.at_end) == len(self.copy.partitions)

    def state(self) -> CopyState:
        total = self.goal - self.first
        done = total if self.ready else min(total, sum(self.copy.position.values()) - self.first)
        return CopyState(self.copy.partition, self.ready, done, total, len(self.copy.reading.rows))


class _Failure(NamedTuple):
    """Why a copy could not take a record: in words, for an exception would keep alive what was read with the record.

    `passes`: the request failed, not the record. `schema_id` is that of an unknown schema; `unknown`: it is of such a schema.
    """

    why: str
    passes: bool
    unknown: bool = False
    schema_id: int | None = None


class Standby:
    """Of one namespace with so many `partitions`. `consumer` makes a read_committed one that reports ends of partitions.

    `empty` makes a copy into which nothing was read. `learn` adds every published schema to the codec.
    """

    def __init__(
        self,
        consumer: Callable[[], Consumer],
        admin: Admin,
        partitions: int,
        empty: Callable[[int], PartitionCopy],
        learn: Callable[[Cancelled], None],
    ) -> None:
        self._consumer, self._admin, self._clock = consumer, admin, admin.clock
        self._partitions, self._empty, self._learn = range(partitions), empty, learn
        self._lock = threading.Lock()
        self._followed: dict[int, Followed] = {}
        self._assigned: dict[int, Followed] = {}
        self._reassign = True
        self._refused: dict[int, float] = {}
        """Until when (by the monotonic clock) partitions are not copied, since a record of theirs cannot be read here."""
        self._said = ""

    def take(self, partition: int) -> PartitionCopy | None:
        """The copy of a partition that is assigned to us now: it is not followed any more."""
        with self._lock:
            followed = self._followed.pop(partition, None)
        return followed.copy if followed is not None and self._is_fresh(followed) else None

    def put_back(self, copy: PartitionCopy) -> None:
        """Follow a copy again, from where it is, once its partition is not ours."""
        with self._lock:
            self._followed[copy.partition] = Followed(copy)

    def states(self) -> list[CopyState]:
        """The copies that are followed. From any thread."""
        return [followed.state() for followed in list(self._assigned.values())]

    @property
    def ready(self) -> bool:
        """Whether all partitions have been copied, but for those that cannot be read here. From any thread."""
        known = dict(self._assigned)
        return all(at in self._refused or ((it := known.get(at)) is not None and it.ready) for at in self._partitions)

    def follow(self, owned: Owned, cancelled: Cancelled) -> Steps[None]:
        """Follow all partitions but those that are `owned`, until cancelled. No failure here ends anything else.

        Raises what nobody foresaw: then all copies are dropped.
        """
        while not cancelled():
            try:
                with closing(self._consumer()) as consumer:
                    yield from self._follow(consumer, owned, cancelled)
            except PartitionLost:
                return
            except (StreamsError, KafkaException) as error:
                self._say(str(error))
            except Exception:  # nobody foresaw it, so no copy is known to be right
                with self._lock:
                    self._followed, self._assigned = {}, {}
                raise
            yield LATER

    def _follow(self, consumer: Consumer, owned: Owned, cancelled: Cancelled) -> Steps[None]:
        self._stand_still()
        while not cancelled():
            ours = set(owned())
            self._choose(ours)
            with self._lock:
                now = self._clock.monotonic()
                wanted = {at: it for at, it in self._followed.items() if at not in ours and it.until <= now}
            if self._reassign or wanted != self._assigned:
                self._assign(consumer, wanted, cancelled)
            began = self._clock.monotonic()
            messages = consumer.consume(RECORDS, 0.0)
            for followed, failure in self._take(messages):
                self._after(followed, failure, cancelled)
            if not messages:
                yield IDLE
            elif ours:
                yield (self._clock.monotonic() - began) * (1 / SHARE - 1)
            else:  # nothing is handled here yet
                yield 0.0

    def _stand_still(self) -> None:
        """A new consumer reads nothing yet, so no copy is known to have all that there is."""
        self._reassign = True
        with self._lock:
            for followed in self._followed.values():
                followed.wait(followed.until)

    def _choose(self, ours: Collection[int]) -> None:
        """Begin copies that are missing, and drop those that are too old: a machine may have slept for days."""
        now, wall = self._clock.monotonic(), self._clock.now()
        self._refused = {at: until for at, until in self._refused.items() if until > now}
        with self._lock:
            self._followed = {at: it for at, it in self._followed.items() if self._is_fresh(it)}
            for followed in self._followed.values():
                if followed.is_current:
                    followed.copy.as_of = wall
            for at in self._partitions:
                if at not in ours and at not in self._followed and at not in self._refused:
                    self._followed[at] = Followed(self._empty(at))

    def _assign(self, consumer: Consumer, wanted: dict[int, Followed], cancelled: Cancelled) -> None:
        """Read each copy's topics from where it is."""
        partitions = [at for it in wanted.values() for at in it.copy.partitions]
        start = starts(self._admin, partitions, cancelled=cancelled)
        end = ends(self._admin, partitions, cancelled=cancelled)
        positions: list[TopicPartition] = []
        with self._lock:
            self._assigned = {at: it for at, it in wanted.items() if self._followed.get(at) is it}
            for followed in self._assigned.values():
                positions += followed.begin(start, end)
        consumer.assign(positions)
        self._reassign = False

    def _take(self, messages: Iterable[Message]) -> list[tuple[Followed, _Failure]]:
        """Apply what was read. Returns the copies that could not take a record, and why."""
        failed: list[tuple[Followed, _Failure]] = []
        with self._lock:
            for followed, ours in self._ours(messages).items():
                try:
                    followed.take(ours)
                except Exception as error:  # noqa: BLE001 - whatever it is, the other copies can go on
                    failed.append((followed, _failure(error)))
        return failed

    def _ours(self, messages: Iterable[Message]) -> dict[Followed, list[Message]]:
        """Without records of copies that were taken meanwhile, and of those that have been put back since.

        Raises KafkaException for an error of the consumer itself.
        """
        found: dict[Followed, list[Message]] = {}
        for message in messages:
            at = message.partition()
            if at is None:
                _raise_for_error(message)
            elif (followed := self._assigned.get(at)) is not None and self._followed.get(at) is followed:
                found.setdefault(followed, []).append(message)
        return found

    def _after(self, followed: Followed, failure: _Failure, cancelled: Cancelled) -> None:
        """A copy that cannot be read on is kept, and read on later from where it is: it may have a million rows.

        A schema may have been published since. A copy that does not take a record, whatever it is, may be wrong itself: only that
        is dropped. Raises BrokerError if new schemas cannot be read.
        """
        self._reassign = True  # what was not taken is read again
        now, partition = self._clock.monotonic(), followed.copy.partition
        if failure.unknown and followed.learned != failure.schema_id:
            self._learn(cancelled)
            followed.learned = failure.schema_id
            return
        followed.learned = None
        if failure.passes:
            followed.wait(now + LATER)
        else:
            self._refused[partition] = now + REFUSED
            followed.wait(now + REFUSED)
            if not failure.unknown:
                self._drop(followed)
        self._say(f"partition {partition}: {failure.why}")

    def _drop(self, followed: Followed) -> None:
        with self._lock:
            if self._followed.get(followed.copy.partition) is followed:
                del self._followed[followed.copy.partition]

    def _is_fresh(self, followed: Followed) -> bool:
        return self._clock.now() - followed.copy.as_of < STALE

    def _say(self, text: str) -> None:
        """Once for repeated failures: whoever takes over reads everything, as without copies."""
        if text != self._said:
            self._said = text
            log.warning("a partition is not copied now", detail=harmless(text))


def _failure(error: Exception) -> _Failure:
    if isinstance(error, UnsupportedSchema):
        return _Failure(str(error), passes=False, unknown=True, schema_id=error.schema_id)
    why = str(error) if isinstance(error, StreamsError | KafkaException) else in_a_line(error)
    return _Failure(why, passes=isinstance(error, KafkaException))


def _raise_for_error(message: Message) -> None:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
