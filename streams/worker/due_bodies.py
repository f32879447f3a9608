"""Bodies of timers and calls that wait: a worker has few in memory, and reads others before they are needed (ADR 40).

The due topic has them all. A gateway that is away for a day, or a million reminders for next year, would fill the memory of every
worker, and of each copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from streams.engine.changes import (
    CallReference,
    Changes,
    DueReference,
    KeptTimer,
    Pending,
    PendingCall,
    PendingTimer,
    TimerReference,
)
from streams.engine.image import Image
from streams.engine.pending import FiringLimit
from streams.engine.stored import pending_at, place_of
from streams.engine.wire_format import WireFormat
from streams.errors import BrokerError
from streams.kafka.bounded_read import headers_of, polls
from streams.kafka.offsets import ends
from streams.kafka.renewed_client import Admin

log = structlog.get_logger("retold.worker")

IN_MEMORY = 4 * 1024 * 1024
"""Bytes that timers and calls of a partition may take in memory with their bodies, about. Beyond, bodies are left to the topic."""
OVERDUE = 4
"""Times as many bytes have timers that were overdue when they were scheduled: each is read back before an event of its key."""
BESIDE = 1_500
"""Bytes that a timer takes in memory beside its event, about, as `Client` writes them."""
NEVER = -(2**63)
"""µs at which no timer is due."""
WRITTEN = 5_000
"""Records of the topic, about, among which one is looked for: so often its end is asked for."""
NEAR, AHEAD = 10_000_000, 3_600_000_000
"""µs before they are due in which timers are in memory; and µs that the clocks of keys are together, where they are ahead."""
EVENTS, READ = 5_000, 16 * 1024 * 1024
"""The most bodies that are read at once, and their bytes, but for the last."""
GAP = 2_000
"""Offsets that are read over rather than sought over."""
LONGEST = 2.0
"""s after which a search ends with what it has found, while the worker does not poll."""
TIMEOUT, AGAIN = 5.0, 1.0
"""s that the broker has to answer; s until it is asked again, and between two looks for timers that are near."""


class FoundBodies(NamedTuple):
    """Bodies by timer's id or request's reference; None: the topic does not have it. Those that were not come to are left out."""

    bodies: Mapping[str, Pending | None]

    @property
    def is_all_there(self) -> bool:
        return None not in self.bodies.values()


class RecentlyDue:
    """The timers and calls of one partition whose bodies are in memory, and where the topic has them, as far as that is known.

    `end` is where the topic ended before those that come. `places` are of those that a restore has with their bodies.
    """

    def __init__(self, end: int, places: Iterable[DueReference] = ()) -> None:
        self._end, self._new, self._written, self._pause, self._stay = end, list[str](), 0, 0, 0
        self._places: dict[str, DueReference] = {name_of(it): it for it in places}
        self._needed: set[str] = set()
        """Those that were read for what comes next. They stay until that has come."""

    def committed(self, changes: Changes) -> None:
        """After `changes` are applied."""
        self._new += changes.calls
        self._new += [it.event_id for it in changes.due]
        self._written += len(changes.calls) + len(changes.due) + len(changes.settled)
        if changes.taken or changes.answered:
            self._needed.clear()

    def must_leave(self, image: Image, most: int) -> bool:
        """Whether bodies take more than `most` bytes, and half as much again as those that could not leave the last time."""
        memory = _memory(image)
        self._stay = min(self._stay, memory)
        return memory > max(most, self._stay * 3 // 2)

    @property
    def must_note(self) -> bool:
        """Whether it is time to ask where the topic ends."""
        return self._written > max(WRITTEN, self._pause)

    def note(self, image: Image, end: int) -> None:
        """All that was committed lies before the offset `end`."""
        new = dict.fromkeys(self._new)
        places = {name: it for name, it in self._places.items() if name not in new and _kept(image, name)}
        places |= {name: place_of(it, self._end, end) for name in new for it in _kept(image, name)}
        self._places, self._new, self._written, self._end = places, [], 0, end
        self._pause = len(places)

    def ask_later(self, image: Image) -> None:
        """The end is not known now: a broker that is slow is not asked in each transaction."""
        self._written, self._stay = 0, _memory(image)

    def leave(self, image: Image, now: int, most: int = IN_MEMORY) -> None:
        """Keep no bodies but of timers that fire next, at `now` in µs, and of those that were read for what comes next.

        Timers that were overdue when they were scheduled wait for an event of their key, as a rule the earliest first: of these,
        too, the first stay, with bodies of `OVERDUE` times `most` bytes.
        """
        near = {it.event_id for it in fires_next(image, now)} | self._first_overdue(OVERDUE * most)
        for name, it in list(self._places.items()):
            if name in self._needed or name in near:
                continue
            exchange(image, it)
            del self._places[name]
        self._pause, self._stay = len(self._places), _memory(image)

    def _first_overdue(self, most: int) -> set[str]:
        timers = [it for it in self._places.values() if isinstance(it, TimerReference) and it.overdue]
        first, memory = set[str](), 0
        for it in sorted(timers, key=lambda it: it.at):
            memory += it.size + BESIDE
            if memory > most:
                break
            first.add(it.event_id)
        return first

    def bring(self, image: Image, found: FoundBodies, places: Iterable[DueReference], *, needed: bool) -> None:
        """Keep these bodies, if they were `needed` until what they are for has come."""
        for place in places:
            body = found.bodies.get(name := name_of(place))
            if body is not None:
                exchange(image, body)
                self._places[name] = place
                self._needed.update([name] if needed else [])


def name_of(it: DueReference | Pending) -> str:
    """Its key in the due topic."""
    return it.reference if isinstance(it, CallReference | PendingCall) else it.event_id


def exchange(image: Image, it: DueReference | Pending) -> None:
    """Have it in the place of the same timer or call, which the image has."""
    if isinstance(it, CallReference | PendingCall):
        image.calls.exchange(it)
    else:
        image.due.exchange(it)


def fires_next(image: Image, now: int, refused: Collection[str] = ()) -> list[KeptTimer]:
    """The timers that are due at `now` (µs) or soon, earliest first, and no more than are read at once.

    While an inbox is not read to its end, none of them fires, and more and more are due: only the first come into memory.
    """
    return _first(image, image.limit(now + NEAR), refused)


def imported_next(image: Image, now: int, refused: Collection[str] = ()) -> list[KeptTimer]:
    """The timers that the clock of an import fires next, as `fires_next`; none if there is no import."""
    return _first(image, FiringLimit(NEVER, now), refused) if image.imports else []


def _first(image: Image, limit: FiringLimit, refused: Collection[str]) -> list[KeptTimer]:
    found, size = list[KeptTimer](), 0
    for timer in image.due.until(limit):
        if timer.owner in image.parked or timer.event_id in refused:
            continue
        if len(found) == EVENTS or size > READ:
            break
        found.append(timer)
        size += timer.size
    return found


def to_read(near: Sequence[KeptTimer]) -> list[TimerReference]:
    """Those of `fires_next` without their events; none if it gives all that it may, and the first half of that is here.

    Reading costs a client of Kafka, so many are read at once, and not each second those that follow what has fired.
    """
    left = [it for it in near if isinstance(it, TimerReference)]
    are_all = len(near) < EVENTS and sum(it.size for it in near) <= READ
    return left if are_all or any(isinstance(it, TimerReference) for it in near[: len(near) // 2]) else []


def _memory(image: Image) -> int:
    return image.calls.memory + image.due.memory


def _kept(image: Image, name: str) -> list[Pending]:
    """The timer or call of this name, if the image has it with its body."""
    there = image.calls.get(name) or image.due.get(name)
    return [there] if isinstance(there, PendingCall | PendingTimer) else []


@dataclass(frozen=True)
class DueBodies:
    """Reads the due `topic` of a namespace. `consumer` makes a read_committed one that reports ends of partitions.

    Timers and calls of a partition take `most` bytes in memory with their bodies, about. `wait` waits so many s, or less in a
    worker that stops.
    """

    topic: str
    wire: WireFormat
    consumer: Callable[[], Consumer]
    admin: Admin
    wait: Callable[[float], object]
    most: int = IN_MEMORY

    def committed(self, recent: RecentlyDue, image: Image, changes: Changes) -> None:
        """After `changes` are applied to the image. If the broker does not say where the topic ends, bodies stay for now."""
        recent.committed(changes)
        leave = recent.must_leave(image, self.most)
        if not (leave or recent.must_note):
            return
        at = self.topic, image.partition
        try:
            recent.note(image, ends(self.admin, [at], timeout=TIMEOUT)[at])
        except (BrokerError, KafkaException) as error:
            log.warning("bodies of timers and calls stay in memory for now", topic=self.topic, error=str(error))
            recent.ask_later(image)
            return
        if leave:
            recent.leave(image, self.admin.clock.now(), self.most)

    def bring(self, recent: RecentlyDue, image: Image, key: str, others: Iterable[str] = ()) -> bool:
        """Read the bodies that this key needs, and timers of `others`, which come next. False: the topic does not have one."""
        timers = list(islice(_timers(image, key), EVENTS))
        calls = [it for it in image.calls.of(key) if isinstance(it, CallReference)]
        if not self._bring(recent, image, [*calls, *timers], needed=True):
            return False
        until, overdue = (timers[0].at + AHEAD, timers[0].overdue) if timers else (NEVER, False)
        firsts = (it for other in others for it in islice(_timers(image, other), 1))
        next_ones = (it for it in firsts if it.at <= until or (overdue and it.overdue))
        return self._bring(recent, image, list(islice(next_ones, EVENTS)), needed=True)

    def bring_near(self, recent: RecentlyDue, image: Image, refused: Collection[str]) -> bool:
        """Read the events of timers that fire next. False: the topic does not have one."""
        now = self.admin.clock.now()
        places = [*to_read(fires_next(image, now, refused)), *to_read(imported_next(image, now, refused))]
        return self._bring(recent, image, list(dict.fromkeys(places)), needed=False)

    def _bring(self, recent: RecentlyDue, image: Image, places: Sequence[DueReference], *, needed: bool) -> bool:
        if not places:
            return True
        try:
            found = self.read(image.partition, places)
        except (BrokerError, KafkaException) as error:
            log.warning("timers and calls cannot be read now", topic=self.topic, partition=image.partition, error=str(error))
            if needed:
                self.wait(AGAIN)
            return True
        recent.bring(image, found, places, needed=needed)
        return found.is_all_there

    def read(self, partition: int, places: Iterable[DueReference]) -> FoundBodies:
        """Their bodies. Raises BrokerError."""
        bodies, size, clock = dict[str, Pending | None](), 0, self.admin.clock
        until = clock.monotonic() + LONGEST
        with closing(self.consumer()) as consumer:
            for group in _groups({name_of(it): it for it in places}.values()):
                begin, end = group[0].first, max(it.end for it in group)
                search = _Search({name_of(it).encode(): it for it in group}, self.wire)
                for messages in polls(consumer, {(self.topic, partition): (begin, end)}, timeout=TIMEOUT, clock=clock):
                    search.take_all(messages)
                    if messages and (messages[-1].offset() or 0) >= end - 1:
                        break
                bodies |= {name_of(it): search.found.get(name_of(it)) for it in group}
                size += search.size
                if size > READ or clock.monotonic() > until:
                    break
        return FoundBodies(bodies)


class _Search:
    """For the last record of each that is `wanted`, by its key in the topic."""

    def __init__(self, wanted: Mapping[bytes, DueReference], wire: WireFormat) -> None:
        self._wanted, self._wire = wanted, wire
        self.found: dict[str, Pending] = {}
        self.size = 0

    def take_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            place, at = self._wanted.get(message.key() or b""), message.offset() or 0
            if place is None or not place.first <= at < place.end:
                continue
            value = message.value()
            if value is None:
                self.found.pop(name_of(place), None)
            else:
                self.found[name_of(place)] = pending_at(place, self._wire, value, headers_of(message))
                self.size += len(value)


def _timers(image: Image, key: str) -> Iterator[TimerReference]:
    """Those of a key whose events are not in memory, the earliest first."""
    return (it.timer for it in image.due.of(key) if isinstance(it.timer, TimerReference))


def _groups(places: Iterable[DueReference]) -> Iterator[list[DueReference]]:
    """Those that lie so near to each other that all between them is read over, in their order in the topic."""
    group, end = list[DueReference](), 0
    for it in sorted(places, key=lambda it: it.first):
        if group and (it.first > end + GAP or len(group) == EVENTS // 10):
            yield group
            group = []
        end = max(end, it.end) if group else it.end
        group.append(it)
    if group:
        yield group
