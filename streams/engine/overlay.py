"""The changes of one batch laid over its partition's image: the state that the batch's next record sees (rule 9)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NoReturn

from streams.engine.changes import Changes, ImportClock, KeptCall, KeptTimer, PendingCall, PendingTimer, QueuedRecord
from streams.engine.duplicates import Remembered
from streams.engine.envelope import Arrival
from streams.engine.image import Image, limit_of
from streams.engine.pending import FiringLimit, ScheduledTimer
from streams.engine.records import PARKED, Entry, QueuePosition


class BatchFull(Exception):
    """What is next must wait for another batch: this one is full, has used its time, or lacks bodies that are not in memory."""


class Overlay:
    """The image does not change; `changes` grows. `now` in µs since 1970."""

    def __init__(self, image: Image, now: int) -> None:
        self.image, self.now = image, now
        self.changes = Changes(image.partition, image.inbox_next, image.sequence, image.recorded)
        self.scheduled: dict[str, list[ScheduledTimer]] = {}
        """Timers that were scheduled in this batch and have not fired, by owner, earliest first."""
        self._passed: dict[str, int] = {}
        """How many of an owner's timers in the image, from the earliest on, have fired in this batch."""
        self._timer_numbers: dict[int, int] = {}
        """The last number of a timer's queue position, by offset."""

    def entry(self, key: str) -> Entry | None:
        """None: the key has no row and never had one."""
        return self.changes.rows.get(key) or self.image.rows.entry(key)

    def has(self, key: str) -> bool:
        """Whether the key has or had a row, which is not decoded for this."""
        return key in self.image.rows or key in self.changes.rows

    def queue(self, key: str) -> list[QueuedRecord]:
        """The key's parked queue, in order; empty: the key is free."""
        queue = self.changes.queues.get(key)
        return queue if queue is not None else self.image.parked.get(key, [])

    def blocks(self, key: str) -> bool:
        """Whether events of this key are parked."""
        queues = self.changes.queues
        return bool(queues[key]) if key in queues else key in self.image.parked

    def own_queue(self, key: str) -> list[QueuedRecord]:
        """The same as `queue`, as a copy that may be changed. It is made once a batch, since a queue may be long."""
        queue = self.changes.queues.get(key)
        if queue is None:
            queue = self.changes.queues[key] = list(self.image.parked.get(key, ()))
        return queue

    def wait_for_bodies(self, key: str) -> NoReturn:
        """End the batch here: what is next needs bodies of this key that are in their topic alone. Raises BatchFull."""
        self.changes.needs = key
        raise BatchFull

    def known(self, digest: bytes | None) -> Remembered | None:
        """The result of the first event of an id, if it is in the duplicate window or parked. An event without an id has none."""
        if digest is None:
            return None
        changes, image = self.changes, self.image
        found = changes.remembered.get(digest) or image.window.find(digest, changes.sequence)
        if found is not None:
            return found
        if not changes.parked_ids and not image.parked_ids:
            return None
        now_parked = changes.parked_ids if digest in changes.parked_ids else image.parked_ids
        body = now_parked.get(digest)
        return None if body is None else (changes.sequence, body, PARKED)

    def is_pending(self, request: str) -> bool:
        """Whether a request waits for its gateway's answer."""
        asked = request in self.image.calls or request in self.changes.calls
        return asked and request not in self.changes.settled

    def calls_of(self, key: str) -> Iterator[KeptCall]:
        """The requests of a key that wait for their gateway, in the order in which they were accepted."""
        new = self.changes.calls
        for kept in self.image.calls.of(key):
            if kept.reference not in new and kept.reference not in self.changes.settled:
                yield kept
        for reference, call in new.items():
            if call.key == key and reference not in self.changes.settled:
                yield call

    def ask(self, call: PendingCall, reference: str = "") -> None:
        """Have the gateway called once this is committed, even if the call was given up before in the same batch.

        `reference` is the call's, where it is known.
        """
        reference = reference or call.reference
        self.changes.calls[reference] = call
        self.changes.settled.pop(reference, None)

    def schedule(self, due: PendingTimer) -> None:
        self.changes.due.append(due)
        self.changes.settled.pop(due.event_id, None)
        insort(self.scheduled.setdefault(due.owner, []), ScheduledTimer(due.at, len(self.changes.due), due))

    @property
    def imports(self) -> Mapping[str, ImportClock]:
        return self.image.imports if self.changes.imports is None else self.changes.imports

    def limit(self, now: int) -> FiringLimit:
        """Until when timers fire that no event's time fires, if it is `now`."""
        return limit_of(self.imports, now)

    def has_timers(self, owner: str) -> bool:
        return bool(self.image.due.of(owner)) or owner in self.scheduled

    def is_scheduled(self, event_id: str) -> bool:
        """Whether a timer of this id waits."""
        there = event_id in self.image.due or any(it.event_id == event_id for it in self.changes.due)
        return there and not self._is_over(event_id)

    def _is_over(self, event_id: str) -> bool:
        """Whether a timer of this id has fired in this batch, or was dropped. A request that has fired is pending under that id."""
        return event_id in self.changes.settled or event_id in self.changes.calls

    def next_timer(self, owner: str, limit: FiringLimit, refused: Collection[str] = ()) -> KeptTimer | None:
        """The key's earliest pending timer that `limit` allows, without those in `refused`; of one time the first scheduled."""
        kept, is_over = self.image.due.of(owner), self._is_over
        passed, new = self._passed.get(owner, 0), self.scheduled.get(owner, [])
        while passed < len(kept) and is_over(kept[passed].timer.event_id):
            passed += 1
        self._passed[owner] = passed
        while new and is_over(new[0].timer.event_id):
            del new[0]
        for timer in _in_order(kept, passed, new):
            if timer.at > max(limit):
                return None
            if not is_over(timer.event_id) and timer.event_id not in refused and limit.allows(timer):
                return timer
        return None

    def position_of(self, arrival: Arrival) -> QueuePosition:
        """Its position in its key's parked queue. A timer's, which has no offset, is given here, and stays."""
        if arrival.position is not None:
            return arrival.position
        offset = arrival.record[0]
        return self.timer_position(offset) if arrival.timer else QueuePosition(offset)

    def timer_position(self, offset: int) -> QueuePosition:
        """One that no timer at this offset has: in the parked topic, a record of the same position would overwrite it."""
        last = self._timer_numbers.get(offset)
        if last is None:
            parked = (it.position for queue in self.image.parked.values() for it in queue)
            taken = [*parked, *(call.position for call in self.image.calls.values())]
            last = max((it.timer for it in taken if it.offset == offset), default=0)
        self._timer_numbers[offset] = last + 1
        return QueuePosition(offset, last + 1)


def _in_order(kept: Sequence[ScheduledTimer], first: int, new: Sequence[ScheduledTimer]) -> Iterator[KeptTimer]:
    """Both in one order; of one time those of the image, which were scheduled before the batch."""
    second = 0
    while first < len(kept) or second < len(new):
        if second == len(new) or (first < len(kept) and kept[first].at <= new[second].at):
            yield kept[first].timer
            first += 1
        else:
            yield new[second].timer
            second += 1
