"""The race: everyone does the same work, one after the other, in another order each round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ops.bench import topic
from ops.bench.attempts import attempt
from ops.bench.contestant import Contestant
from ops.bench.figures import BenchFigures
from ops.bench.plan import RACE, Plan
from ops.bench.run import Inbox, Run, filled


class Race:
    """`log`: of the latest run of retold, with its number of events, for whom it may concern."""

    def __init__(self, plan: Plan, figures: BenchFigures, contestants: Sequence[Contestant], broker: str, folder: Path) -> None:
        self.plan, self.figures, self.contestants, self.broker, self.folder = plan, figures, contestants, broker, folder
        self.events: dict[str, int] = {}
        self.log: tuple[str, int] | None = None
        self._inboxes: dict[str, Inbox] = {}

    def warm_up(self) -> None:
        """Everyone once: caches of files and of classes are filled, and each is known to work, and how fast it is here."""
        for contestant in self.contestants:
            attempt(self.figures, contestant.name, partial(self._first, contestant))

    def round(self, number: int) -> None:
        """Interleaved, so that a change of the machine's mood meets everyone, and rotated: nobody follows always the same."""
        self._tidy()
        turn = number % max(1, len(self.contestants))
        for contestant in [*self.contestants[turn:], *self.contestants[:turn]]:
            attempt(self.figures, contestant.name, partial(self._measured, contestant))

    def _tidy(self) -> None:
        """What earlier runs have left; of a log that is folded the worker's other topics may go."""
        keep = {inbox.topic for inbox in self._inboxes.values()} | ({self.log[0]} if self.log else set())
        if self.figures.prefixes:
            topic.tidy(self.broker, self.figures.prefixes, keep)

    def make_log(self, contestant: Contestant, events: int) -> tuple[str, int]:
        """By a run that is not measured."""
        prefix = f"bench{time.time_ns() // 1_000_000}-"
        self.figures.prefixes.append(prefix)
        run = self._run(contestant, prefix, events)
        run.go()
        self.log = (run.log, events)
        return self.log

    def _first(self, contestant: Contestant, prefix: str) -> None:
        name = contestant.name
        run = self._run(contestant, prefix, RACE[name])
        found = run.go()
        least = RACE[name]
        self.events[name] = self.plan.events(name, found.rate, least) if contestant.writes else self.plan.read_again(least)
        self.figures.say(f"{name:16}{found.rate:9,.0f} events/s to warm up; {self.events[name]:,} events a run follow")
        if self.events[name] != run.inbox.events:
            self._inboxes.pop(name, None)

    def _measured(self, contestant: Contestant, prefix: str) -> None:
        """A run whose window is too short is made again with more events, once: it was faster than it was known to be."""
        name = contestant.name
        run = self._run(contestant, prefix, self.events[name])
        found = run.go()
        if contestant.writes and found.seconds < self.plan.window:
            self.events[name] = self.plan.events(name, found.rate, self.events[name])
            self._inboxes.pop(name, None)
            self.figures.say(f"{name:16}a window of {found.seconds:.1f} s, so again with {self.events[name]:,} events")
            run = self._run(contestant, f"{prefix}again-", self.events[name])
            found = run.go()
        self.figures.add_window(name, found)
        if name == "us":
            self.log = (run.log, run.inbox.events)

    def _run(self, contestant: Contestant, prefix: str, events: int) -> Run:
        inbox = self._inboxes.get(contestant.name)
        if contestant.own_inbox or inbox is None:
            inbox = self._inboxes[contestant.name] = filled(contestant, self.broker, prefix, events)
        return Run(contestant, prefix, inbox, self.broker, self.folder / prefix, self.plan.watched)
