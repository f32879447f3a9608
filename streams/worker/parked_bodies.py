"""Bodies of parked events: a worker has those of the latest ones in memory, and reads others again when a command needs them.

Behind a parked event everything of its key is parked, for as long as nobody decides. The parked topic has it all (ADR 36).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from sys import intern

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from streams.engine.changes import Changes, ParkedReference, QueuedRecord, SetAsideRecord
from streams.engine.commands import EVENTS_PER_COMMAND
from streams.engine.image import Image
from streams.engine.records import Headers
from streams.engine.stored import set_aside_of
from streams.errors import BrokerError
from streams.kafka.bounded_read import headers_of, read_to
from streams.kafka.offsets import ends
from streams.kafka.renewed_client import Admin

log = structlog.get_logger("retold.worker")

IN_MEMORY = 4 * 1024 * 1024
"""Bytes that the latest parked events of a partition may take in memory. Beyond, all of their bodies are left to the topic."""
RECORD, HEADER = 600, 120
"""Bytes in memory, about, of what surrounds a record, and a header."""
EVENTS, READ = 10 * EVENTS_PER_COMMAND, 8 * 1024 * 1024
"""The most bodies that are read at once, for a command and for those that go on with it; and their bytes, but for the last."""
FAR = 20_000
"""Offsets of the topic that are read at once, at most, unless one record alone may lie in more."""
TIMEOUT, AGAIN = 5.0, 1.0
"""s that the broker has to answer, while the worker does not poll; s until it is asked again."""

Found = Mapping[ParkedReference, SetAsideRecord]


class RecentlyParked:
    """The parked events of one partition whose bodies are in memory. `end` is where the topic ended before the first of them."""

    def __init__(self, end: int) -> None:
        self._end, self._records, self._brought = end, list[SetAsideRecord](), deque[tuple[ParkedReference, SetAsideRecord]]()
        self.size = 0
        """Bytes, about."""

    def committed(self, image: Image, changes: Changes) -> None:
        """After `changes` are applied. What was read for a command leaves memory when a transaction has handled none of it."""
        for aside in changes.set_aside:
            if aside.entity is not None:  # else it is quarantined, and blocks nobody
                self._records.append(aside)
                self.size += _size(aside.value, aside.carried) + len(aside.header.detail)
        before = len(self._brought)
        while self._brought and not image.is_parked(self._brought[0][1]):  # a queue is handled from its head on
            self._brought.popleft()
        if changes.taken and len(self._brought) == before:
            self._leave_brought(image)

    def leave(self, image: Image, end: int, request: Callable[[SetAsideRecord], str]) -> None:
        """Keep no bodies: all of them lie in the topic before the offset `end`. `request` is that of ParkedBodies."""
        for record in self._records:
            entity = intern(record.entity or "")
            place = ParkedReference(record.offset, entity, self._end, end, record.timer, request(record))
            image.exchange(record, place)
        self._records, self.size, self._end = [], 0, end

    def bring(self, image: Image, found: Found) -> None:
        """Keep these bodies, and no others that were brought, for a command and those that go on with it."""
        self._leave_brought(image)
        self._brought.extend(sorted(found.items(), key=lambda it: it[0].position.order))
        exchange(image, found)

    def _leave_brought(self, image: Image) -> None:
        for place, record in self._brought:
            image.exchange(record, place)
        self._brought.clear()


def exchange(image: Image, found: Found) -> None:
    """Put bodies into the parked queues of `image`."""
    for place, record in found.items():
        image.exchange(place, record)


@dataclass(frozen=True)
class ParkedBodies:
    """Reads the parked `topic` of a namespace. `consumer` makes a read_committed one that reports ends of partitions.

    A partition's latest parked events take `most` bytes in memory, about. `wait` waits so many s, or less in a worker that stops.
    `request` gives the reference of a request that is unanswered, as `parked_request`.
    """

    topic: str
    request: Callable[[SetAsideRecord], str]
    consumer: Callable[[], Consumer]
    admin: Admin
    wait: Callable[[float], object]
    most: int = IN_MEMORY

    def committed(self, recent: RecentlyParked, image: Image, changes: Changes) -> None:
        """After `changes` are applied to the image. If the broker does not say where the topic ends, bodies stay for now."""
        recent.committed(image, changes)
        if recent.size <= self.most:
            return
        at = self.topic, image.partition
        try:
            recent.leave(image, ends(self.admin, [at], timeout=TIMEOUT)[at], self.request)
        except (BrokerError, KafkaException) as error:
            log.warning("bodies of parked events stay in memory for now", topic=self.topic, error=str(error))

    def bring(self, recent: RecentlyParked, image: Image, key: str) -> bool:
        """Read the bodies that a command of this key needs. False: the topic does not have the first."""
        queue = image.parked.get(key)
        if not queue or isinstance(queue[0], SetAsideRecord):
            return True
        try:
            found = self.read(image, key)
        except (BrokerError, KafkaException) as error:
            log.warning("parked events cannot be read now", topic=self.topic, partition=image.partition, error=str(error))
            self.wait(AGAIN)
            return True
        recent.bring(image, found)
        return isinstance(image.parked[key][0], SetAsideRecord)

    def read(self, image: Image, key: str) -> Found:
        """The first bodies of a key's queue, if they are not in memory. Raises BrokerError."""
        wanted = _first(image.parked.get(key, ()))
        if not wanted:
            return {}
        search = _Search({str(it.position).encode(): it for it in wanted})
        begin, end = wanted[0].first, max(it.end for it in wanted)
        with closing(self.consumer()) as consumer:
            span = {(self.topic, image.partition): (begin, end)}
            for message in read_to(consumer, span, clock=self.admin.clock, timeout=TIMEOUT):
                at = message.offset() or 0
                if at >= end or (search.size >= READ and at >= search.end):
                    break
                search.take(message, at)
        return search.found


@dataclass
class _Search:
    """For the last record of each place that is `wanted`, by its key in the topic. All that was found lies before `end`."""

    wanted: Mapping[bytes, ParkedReference]
    found: dict[ParkedReference, SetAsideRecord] = field(default_factory=dict)
    size: int = 0
    end: int = 0

    def take(self, message: Message, at: int) -> None:
        place, value = self.wanted.get(message.key() or b""), message.value()
        if place is None or value is None or not place.first <= at < place.end:
            return
        headers = headers_of(message)
        self.found[place] = set_aside_of(place.position, value, headers)
        self.size += _size(value, headers)
        self.end = max(self.end, place.end)


def _first(queue: Sequence[QueuedRecord]) -> list[ParkedReference]:
    """Those at the head of a queue that are read together."""
    places = list(_references(queue[:EVENTS]))
    if not places:
        return []
    begin, end = places[0].first, max(places[0].end, places[0].first + FAR)
    return list(takewhile(lambda it: it.first >= begin and it.end <= end, places))


def _references(queue: Sequence[QueuedRecord]) -> Iterator[ParkedReference]:
    for it in queue:
        if not isinstance(it, ParkedReference):
            return
        yield it


def _size(value: bytes, headers: Headers) -> int:
    return RECORD + len(value) + sum(HEADER + len(text or b"") for _, text in headers)
