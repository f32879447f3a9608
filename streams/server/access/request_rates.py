"""How many requests each principal may send: a token bucket for each."""

from __future__ import annotations

from typing import Final, NamedTuple

BURST: Final = 2
"""s of requests that may come at once, after a while without any."""
MOST: Final = 10_000
"""Buckets that are kept: those that were used last."""


class Bucket(NamedTuple):
    """What was in it at a time in s, of any clock that does not go back."""

    level: float
    at: float


class RequestRates:
    """To be used by one thread. The clock is given."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, rate: float, now: float) -> float:
        """0 if a request may come now, at `rate` a second on average; else the s until one may."""
        full = rate * BURST
        bucket = self._buckets.pop(name, Bucket(full, now))
        level = min(full, bucket.level + (now - bucket.at) * rate)
        wait = 0.0 if level >= 1 else (1 - level) / rate
        self._buckets[name] = Bucket(level if wait else level - 1, now)
        if len(self._buckets) > MOST:
            del self._buckets[next(iter(self._buckets))]
        return wait
