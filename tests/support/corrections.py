"""A past that is corrected while it goes on: an application in memory, and a coordinator that may stop anywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from streams.engine.changes import SetAsideRecord
from streams.engine.control import OperatorCommand
from streams.engine.step import CorrectionStep
from streams.engine.times import to_micros
from streams.history.branch.change import Change
from streams.history.branch.step_timers import timers_left
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.corrected_past import CorrectedPast, Signature
from streams.history.correction.correction_plan import StoredChange
from streams.history.correction.last_corrected import LastCorrected
from streams.history.correction.merged_change import merged
from streams.history.correction.planning import plan_correction
from streams.history.correction.rows_as_kept import live_timers
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import STEP, Place
from tests.support.partitions import Partitions
from tests.support.pasts import past_of

BY = Signature("c1", "ann", "a test")


def next_steps(log: Past, handlers: ApplicationHandlers, changes: Sequence[Change], by: Signature) -> list[CorrectionStep]:
    """To all rows that differ, in causal order; none: the present is what `changes`, all corrections so far, make of it."""
    return [*LastCorrected(handlers, changes).of(log).steps(by)]


class Corrected:
    """`there` goes on; `changes` are the corrections so far."""

    def __init__(self, there: Partitions) -> None:
        self.there, self.handlers = there, ApplicationHandlers(there.app, there.codec)
        self.changes: list[Change] = []
        self.stored: list[StoredChange] = []
        """The same as they are kept."""

    @property
    def log(self) -> MemoryPast:
        return past_of(self.there)

    @property
    def past(self) -> Past:
        """The history that counts."""
        return CorrectedLog(self.log, self.changes).past(self.handlers)

    def corrected(self) -> CorrectedPast:
        log = self.log
        return CorrectedPast(log, self.handlers, merged(log, self.changes))

    def correct(self, change: Change) -> None:
        plan = plan_correction(CorrectedLog(self.log, self.changes), self.handlers, change, "ann", "a test")
        self.stored.append(plan.change)
        self.changes.append(plan.change.read(self.handlers.codec))

    def step(self) -> bool:
        """Send the first step of a round; False: nothing differs."""
        steps = next_steps(self.log, self.handlers, self.changes, BY._replace(correction=f"c{len(self.changes)}"))
        if steps:
            self.there.correct(steps[0])
        return bool(steps)

    def go_on(self, chosen: random.Random) -> None:
        """Steps, and what is handled between them, in any order."""
        for _ in range(chosen.randint(0, 12)):
            if chosen.random() < 0.4:
                self.step()
            else:
                self.there.step()
                self.there.now += timedelta(seconds=chosen.choice([0, 1, 30]))

    def finish(self) -> int:
        """To the fixed point; returns in how many rounds."""
        self.there.settle()
        for round_ in range(60):
            if not self.step():
                return round_
            self.there.settle()
        raise AssertionError("there is no fixed point")

    def let_go(self) -> None:
        """An operator rejects what is parked, since its handler raises each time, until nothing is."""
        there = self.there
        while parked := [(name, key, queue[0]) for (name, _), it in there.images.items() for key, queue in it.parked.items()]:
            for namespace, key, first in parked:
                there.say(namespace, OperatorCommand("reject", key, first.offset, "ann", "a bug", timer=first.timer))
            there.settle()

    def steps(self) -> list[Place]:
        """The rows that were set, in order."""
        return [it.place for it in self.log.events() if it.kind == STEP]

    def timers(self) -> dict[str, tuple[bytes, int]]:
        """The timers that wait, as the engine has them: also those that are parked, since their handlers raised.

        A step takes no parked one away: it is left to a person, and the coordinator waits for that.
        """
        images = self.there.images.values()
        waiting = {it.event_id: (it.emitted.value, it.at) for image in images for it in image.due.values()}
        aside = [it for image in images for queue in image.parked.values() for it in queue if it.timer]
        taken_away = {name for name, left in timers_left(self.log.steps()).items() if left is None}
        return waiting | {name: it for name, it in map(_parked, aside) if name not in taken_away}

    def timers_told(self) -> dict[str, tuple[bytes, int]]:
        """The same as the log tells."""
        log = self.log
        places = dict.fromkeys(it.place for it in log.events())
        found = [live_timers(log, self.handlers, place) for place in places]
        return {name: (it.value, it.due) for timers in found for name, it in timers.items()}


def _parked(timer: SetAsideRecord) -> tuple[str, tuple[bytes, int]]:
    headers = dict(timer.carried)
    at = datetime.fromisoformat(headers["ce_time"].decode())
    return headers["ce_id"].decode(), (timer.value, to_micros(at))
