"""The circuit breaker: a bad deploy must not park every key (rule 11), and neither must a supervisor that restarts it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from streams.config import Config
from streams.engine.changes import Changes
from streams.errors import NamespaceStopped
from streams.worker.notes import Note, folder_of

MINUTE = 60_000_000
KEYS = 20
SHARE, EVENTS = 0.01, 1_000
TRIED = 1
"""Events that may be parked after a trip, before the share decides."""
CALM = 10 * MINUTE
"""µs without another trip, after which a trip is forgotten if events were handled meanwhile."""


class Trip(msgspec.Struct, frozen=True):
    """`at` in µs since 1970. `handled` and `raised` count the events that were committed since then."""

    at: int
    handled: int = 0
    raised: int = 0


class TripNote(Protocol):
    """Where a trip outlasts the process."""

    def read(self) -> Trip | None: ...

    def write(self, value: Trip) -> None: ...

    def clear(self) -> None: ...


class KeptTrip:
    """A note in memory, for a worker that has no state folder."""

    def __init__(self) -> None:
        self._trip: Trip | None = None

    def read(self) -> Trip | None:
        return self._trip

    def write(self, value: Trip) -> None:
        self._trip = value

    def clear(self) -> None:
        self._trip = None


def trip_note(config: Config, namespace: str) -> Note[Trip]:
    """Where the trip of a namespace's breaker is kept."""
    return Note(folder_of(config) / f"{config.prefix}{namespace}.breaker.json", Trip)


class CircuitBreaker:
    """Trips over 20 keys, or over 1 % of at least 1 000 events, parked within a minute. Times in µs.

    After a trip, also one of an earlier process, one event may be parked, and then no more than 1 % of all, until 1 000 were
    handled: each restart would park 20 more otherwise. The note is asked each time, since the processes of one machine share it.
    """

    def __init__(self, namespace: str, note: TripNote | None = None) -> None:
        self._namespace, self._note = namespace, KeptTrip() if note is None else note
        self._seen: deque[BreakerSample] = deque()

    def check(self, now: int, changes: Sequence[Changes]) -> None:
        """Raises NamespaceStopped, with the last traceback."""
        raised = [text for part in changes for _, text in part.raised]
        if not raised or not self.trips(now, changes):
            return
        again = self._note.read()
        self._note.write(Trip(now) if again is None else msgspec.structs.replace(again, at=now))
        why = (
            "its handlers raise for too many events (over 20 keys, or over 1 % of at least 1,000 events of a minute), which "
            "a bad deploy does"
            if again is None
            else f"it had stopped before, because its handlers raised for too many events, and since then they raised for more "
            f"than {TRIED} event and 1 % of what was handled"
        )
        raise NamespaceStopped(
            f"the namespace {self._namespace} stops: {why}. Nothing of this batch was committed; fix the handler and start "
            f"again, or start once with --reset-breaker to park such events. The last one:\n{raised[-1]}"
        )

    def trips(self, now: int, changes: Sequence[Changes]) -> bool:
        """Whether committing this batch would exceed a limit."""
        self._forget(now)
        batch = _seen(now, changes)
        if (trip := self._note.read()) is not None:
            handled, raised = trip.handled + batch.handled, trip.raised + batch.raised
            return raised > TRIED + SHARE * handled
        batches = [*self._seen, batch]
        keys = frozenset[str]().union(*(batch.keys for batch in batches))
        events = sum(batch.handled for batch in batches)
        return len(keys) > KEYS or (events >= EVENTS and sum(batch.raised for batch in batches) > SHARE * events)

    def saw(self, now: int, changes: Sequence[Changes]) -> None:
        """Count a committed batch. An aborted one is handled again, so it is not counted."""
        self._forget(now)
        sample = _seen(now, changes)
        self._seen.append(sample)
        if (sample.handled or sample.raised) and (trip := self._note.read()) is not None:
            self._count(trip, sample)

    def _count(self, trip: Trip, sample: BreakerSample) -> None:
        handled, raised = trip.handled + sample.handled, trip.raised + sample.raised
        if handled >= EVENTS or (sample.at - trip.at >= CALM and handled > raised):
            self._note.clear()
        else:
            self._note.write(msgspec.structs.replace(trip, handled=handled, raised=raised))

    def __len__(self) -> int:
        """How many batches it remembers."""
        return len(self._seen)

    def _forget(self, now: int) -> None:
        while self._seen and self._seen[0].at < now - MINUTE:
            self._seen.popleft()


class BreakerSample(NamedTuple):
    at: int
    handled: int
    raised: int
    keys: frozenset[str]


def _seen(now: int, changes: Sequence[Changes]) -> BreakerSample:
    raised = [key for part in changes for key, _ in part.raised]
    return BreakerSample(now, sum(part.taken for part in changes), len(raised), frozenset(raised))
