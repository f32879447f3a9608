"""The breaker: a bad deploy must not park every key (rule 11)."""

from __future__ import annotations

from collections import deque

MINUTE = 60_000_000
KEYS = 20
SHARE, EVENTS = 0.01, 1_000


class Breaker:
    """Trips over 20 keys, or over 1 % of at least 1 000 events, parked within a minute. Times in µs."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, int, frozenset[str]]] = deque()

    def trips(self, now: int, handled: int, parked: int, keys: frozenset[str]) -> bool:
        """Whether committing a batch of `handled` events, `parked` of them, for new `keys`, would be too much."""
        while self._seen and self._seen[0][0] < now - MINUTE:
            self._seen.popleft()
        batches = [*self._seen, (now, handled, parked, keys)]
        all_keys = frozenset().union(*(batch[3] for batch in batches))
        events = sum(batch[1] for batch in batches)
        return len(all_keys) > KEYS or (events >= EVENTS and sum(batch[2] for batch in batches) > SHARE * events)

    def saw(self, now: int, handled: int, parked: int, keys: frozenset[str]) -> None:
        """Count a batch that was committed."""
        if handled:
            self._seen.append((now, handled, parked, keys))
