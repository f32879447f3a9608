"""How many requests each principal may send: a token bucket for each."""

from __future__ import annotations

from math import isfinite
from typing import Final, NamedTuple, Protocol

BURST: Final = 2
"""s of requests that may come at once, after a while without any."""
MOST: Final = 10_000
"""Buckets that are kept: those that were used last."""
LATER: Final = 1.0
"""s by which a bucket may be later than now."""


class Bucket(NamedTuple):
    """What was in it at a time in s, of any clock that does not go back. Below 0: what is owed."""

    level: float
    at: float


class Rates(Protocol):
    """The clock is given."""

    def take(self, name: str, rate: float, now: float) -> float:
        """0 if a request may come now, at `rate` a second on average; else the s until one may."""

    def take_more(self, name: str, rate: float, now: float, count: int) -> float:
        """The same for what is found in a request that came: it may be more than is there, and is then owed.

        So that a batch larger than a bucket can come at all, and only one of several that come together.
        """


class RequestRates:
    """Rates of one process. To be used by one thread."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, rate: float, now: float) -> float:
        return self._taken(name, rate, now, 1, least=1)

    def take_more(self, name: str, rate: float, now: float, count: int) -> float:
        return self._taken(name, rate, now, count, least=0)

    def _taken(self, name: str, rate: float, now: float, count: int, least: int) -> float:
        self._buckets[name], wait = taken(self._buckets.pop(name, None), rate, now, count, least)
        if len(self._buckets) > MOST:
            del self._buckets[next(iter(self._buckets))]
        return wait


def taken(bucket: Bucket | None, rate: float, now: float, count: int, least: int) -> tuple[Bucket, float]:
    """The bucket after `count` are taken of it, if `least` are in it, and how long to wait otherwise (s). None: one that is full.

    What is no number, or of a time that is still to come, is taken for full: but another process may have read the clock a
    moment later.
    """
    full = rate * BURST
    if bucket is None or not isfinite(bucket.level) or not bucket.at <= now + LATER:
        bucket = Bucket(full, now)
    now = max(now, bucket.at)
    level = min(full, bucket.level + (now - bucket.at) * rate)
    is_taken = level >= least
    return Bucket(level - count if is_taken else level, now), 0.0 if is_taken else (1 - level) / rate
