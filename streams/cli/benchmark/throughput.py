"""How many events a second a worker handles: it is given more than it can handle, and its committed offsets are followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from streams.cli.benchmark.bench_site import BenchWorker, Progress
from streams.errors import OutcomeTimeout

AHEAD_LEAST, AHEAD_MOST, AHEAD_OF_A_SECOND = 10_000, 60_000, 5_000
"""How many events wait for the worker at most: for short windows fewer, since all of them are handled in the end."""
LOT = 500
LOOK = 0.1
"""s between two looks at what is handled."""
START, STALL = 90.0, 60.0
"""s until the worker has handled a first event, and from one to the next."""
WARM_UP = 0.25
"""The part of the time that comes before the window."""


class Throughput(NamedTuple):
    """Of the window: `seconds` from one commit to another, events and CPU seconds of the worker's process in between.

    `waited`: the worker had nothing to do at times, so it may be faster. `published`: all that it was given.
    """

    seconds: float
    events: int
    cpu: float | None
    waited: bool
    published: int

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float | None:
        """For an event."""
        return None if self.cpu is None else self.cpu / self.events * 1e6


class _Look(NamedTuple):
    """`published` by us, and how many records waited in the inbox then: with what follows they may be more, or fewer."""

    seconds: float
    handled: int
    cpu: float | None
    waiting: int
    published: int


class ThroughputTrial:
    """`publish` hands one event over; `advance` is told how many are handled."""

    def __init__(
        self, worker: BenchWorker, progress: Progress, publish: Callable[[], object], advance: Callable[[int], None]
    ) -> None:
        self._worker, self._progress, self._publish, self._advance = worker, progress, publish, advance
        self.published = 0
        self._looks: list[_Look] = []
        self._most = AHEAD_LEAST

    def run(self, seconds: float) -> Throughput:
        """Raises NamespaceStopped if the worker ends, OutcomeTimeout if it does not go on."""
        self._most = min(AHEAD_MOST, max(AHEAD_LEAST, int(seconds * AHEAD_OF_A_SECOND)))
        first = self._until(lambda look: look.handled > 0, START)
        warm = first.seconds + seconds * WARM_UP
        self._until(lambda look: look.seconds >= warm, seconds + STALL)
        begin = self._next_commit()
        until = begin.seconds + seconds
        self._until(lambda look: look.seconds >= until, seconds + STALL)
        end = self._next_commit()
        inside = [look for look in self._looks if begin.seconds <= look.seconds <= end.seconds]
        cpu = None if begin.cpu is None or end.cpu is None else end.cpu - begin.cpu
        waited = any(look.waiting < LOT for look in inside)
        return Throughput(end.seconds - begin.seconds, end.handled - begin.handled, cpu, waited, self.published)

    def drain(self) -> None:
        """Waits until all that was published is handled, and what followed from it here. Raises as `run`."""
        while self._look().handled < self.published or self._progress.status().lag:
            self._raise_if_stuck()
            time.sleep(LOOK)

    def _next_commit(self) -> _Look:
        handled = self._looks[-1].handled
        return self._until(lambda look: look.handled > handled, STALL)

    def _until(self, there: Callable[[_Look], bool], limit: float) -> _Look:
        deadline = time.monotonic() + limit
        while not there(look := self._look()):
            self._raise_if_stuck()
            if look.seconds > deadline:
                raise self._stuck(limit)
            self._keep_ahead(look.seconds + LOOK)
        return look

    def _look(self) -> _Look:
        self._worker.check()
        handled = self._progress.handled()
        now, cpu = time.monotonic(), self._worker.cpu_seconds()
        self._looks.append(_Look(now, handled, cpu, self._progress.waiting(handled), self.published))
        self._advance(handled)
        return self._looks[-1]

    def _keep_ahead(self, until: float) -> None:
        """Publishes until then, or until enough wait."""
        last = self._looks[-1]
        while (now := time.monotonic()) < until:
            if max(last.waiting, last.published - last.handled) + self.published - last.published >= self._most:
                time.sleep(until - now)
                return
            for _ in range(LOT):
                self._publish()
            self.published += LOT

    def _raise_if_stuck(self) -> None:
        last = self._looks[-1]
        since = next((look.seconds for look in self._looks if look.handled == last.handled), last.seconds)
        if last.handled and last.seconds - since > STALL:
            raise self._stuck(STALL)

    def _stuck(self, seconds: float) -> OutcomeTimeout:
        handled = self._looks[-1].handled
        return OutcomeTimeout(
            f"the worker did not go on for {seconds:.0f} s: {handled:,} of {self.published:,} events are handled. "
            "`retold worker` in a terminal shows what it waits for"
        )
