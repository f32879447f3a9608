"""How many requests each principal may send: a token bucket for each."""

from __future__ import annotations

from typing import Final, NamedTuple

BURST: Final = 2
"""s of requests that may come at once, after a while without any."""
MOST: Final = 10_000
"""Buckets that are kept: those that were used last."""


class Bucket(NamedTuple):
    """What was in it at a time in s, of any clock that does not go back. Below 0: what is owed."""

    level: float
    at: float


class RequestRates:
    """To be used by one thread. The clock is given."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, rate: float, now: float) -> float:
        """0 if a request may come now, at `rate` a second on average; else the s until one may."""
        return self._taken(name, rate, now, 1, least=1)

    def take_more(self, name: str, rate: float, now: float, count: int) -> float:
        """The same for what is found in a request that came: it may be more than is there, and is then owed.

        So that a batch larger than a bucket can come at all, and only one of several that come together.
        """
        return self._taken(name, rate, now, count, least=0)

    def _taken(self, name: str, rate: float, now: float, count: int, least: int) -> float:
        full = rate * BURST
        bucket = self._buckets.pop(name, Bucket(full, now))
        level = min(full, bucket.level + (now - bucket.at) * rate)
        is_taken = level >= least
        self._buckets[name] = Bucket(level - count if is_taken else level, now)
        if len(self._buckets) > MOST:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if is_taken else (1 - level) / rate
