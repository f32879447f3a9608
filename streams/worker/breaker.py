"""The circuit breaker: a bad deploy must not park every key (rule 11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streams.engine.changes import Changes
from streams.errors import NamespaceStopped

MINUTE = 60_000_000
KEYS = 20
SHARE, EVENTS = 0.01, 1_000


class CircuitBreaker:
    """Trips over 20 keys, or over 1 % of at least 1 000 events, parked within a minute. Times in µs."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._seen: deque[BreakerSample] = deque()

    def check(self, now: int, changes: Sequence[Changes]) -> None:
        """Raises NamespaceStopped, with the last traceback."""
        raised = [text for part in changes for _, text in part.raised]
        if raised and self.trips(now, changes):
            raise NamespaceStopped(
                f"the namespace {self._namespace} stops: its handlers raise for too many events (over 20 keys, or over "
                f"1 % of at least 1,000 events of a minute), which a bad deploy does. Nothing of this batch was committed; fix the "
                f"handler and start again. The last one:\n{raised[-1]}"
            )

    def trips(self, now: int, changes: Sequence[Changes]) -> bool:
        """Whether committing this batch would exceed a limit."""
        self._forget(now)
        batches = [*self._seen, _seen(now, changes)]
        keys = frozenset[str]().union(*(batch.keys for batch in batches))
        events = sum(batch.handled for batch in batches)
        return len(keys) > KEYS or (events >= EVENTS and sum(batch.raised for batch in batches) > SHARE * events)

    def saw(self, now: int, changes: Sequence[Changes]) -> None:
        """Count a committed batch. An aborted one is handled again, so it is not counted."""
        self._forget(now)
        self._seen.append(_seen(now, changes))

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
