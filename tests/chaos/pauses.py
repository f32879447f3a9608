"""How long what was there to be handled had to wait: pauses of partitions, and the wait after each fault.

A partition pauses while none of its events is handled though there is one in its inbox. Both are Kafka's own times, in ms: when an
inbox record, and when its log record, was appended; the transaction is committed a little later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.chaos import plan
from tests.chaos.injector import Happened

Place = tuple[str, int]
"""A namespace and a partition."""
AFTER = 1.0
"""s after a fault's end in which what is published counts as published during the fault."""
KEPT = 0.1
"""s from which on a pause is kept."""


class HandledRecord(NamedTuple):
    """A log record, with the inbox offset that it was handled at; -1 for a timer. `arrived` and `handled` in s since 1970."""

    offset: int
    arrived: float
    handled: float


class Pause(NamedTuple):
    """In s since 1970."""

    place: Place
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def pauses(handled: Mapping[Place, Sequence[HandledRecord]]) -> list[Pause]:
    """The longest first. Records of each log in their order; what was parked is handled late on purpose, and does not count."""
    found = []
    for place, records in handled.items():
        last, highest = 0.0, -1
        for it in records:
            if it.offset > highest:
                highest = it.offset
                found.append(Pause(place, max(last, it.arrived), it.handled))
            last = max(last, it.handled)
    return sorted((it for it in found if it.seconds >= KEPT), key=lambda it: -it.seconds)


class Span(NamedTuple):
    """In s since 1970."""

    began: float
    ended: float


def nobody_there(happened: Iterable[Happened], workers: int) -> list[Span]:
    """When the broker was away, or no worker was there: killed, or standing still. That one has to start counts as being there."""
    changes: list[tuple[float, int]] = []
    for it in happened:
        about, _ = it.fault.about
        if about == plan.BROKER or it.fault.kind in (plan.KILLED, plan.STILL):
            weight = workers if about == plan.BROKER else 1
            changes += [(it.began, weight), (max(it.ended, it.began + it.fault.lasts), -weight)]
    spans, away, since = list[Span](), 0, 0.0
    for time, change in sorted(changes):
        if away < workers <= away + change:
            since = time
        elif away >= workers > away + change:
            spans.append(Span(since, time))
        away += change
    return spans


def with_somebody_there(pause: Pause, spans: Iterable[Span]) -> float:
    """How many s of a pause none of these spans explains."""
    return pause.seconds - sum(max(0.0, min(pause.ended, it.ended) - max(pause.began, it.began)) for it in spans)


def longest_waits(happened: Sequence[Happened], waits: Iterable[tuple[float, float]]) -> list[float]:
    """For each fault, how many s an event had to wait at most that was published during it, or soon after.

    `waits` are the times at which an event was published and handled.
    """
    longest = [0.0] * len(happened)
    for published, done in waits:
        for number, it in enumerate(happened):
            if it.began <= published <= it.ended + AFTER:
                longest[number] = max(longest[number], done - published)
    return longest


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below this share of them; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
