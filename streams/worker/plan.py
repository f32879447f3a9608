"""Plans the next transaction: records, answers and due timers of every partition, or one kind during a poison search."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice

from streams.engine.batch import PartitionWork
from streams.worker.gateway_calls import answers_of
from streams.worker.poison import PoisonKind, PoisonSearch
from streams.worker.polled_batch import PolledBatch
from streams.worker.task import PartitionTask
from streams.worker.tasks import Tasks
from streams.worker.wall_clock import WallClock

Works = Mapping[PartitionTask, PartitionWork]


class Planner:
    """Used by one thread."""

    def __init__(self, tasks: Tasks, search: PoisonSearch, wall_clock: WallClock) -> None:
        self._tasks, self._search, self._wall_clock = tasks, search, wall_clock
        self._rounds = 0

    def plan(self, batch: PolledBatch) -> Works:
        """The work of each task; of one kind only during a poison search. Each time another task is first."""
        tasks = self._tasks.restored()
        self._rounds += 1
        first = self._rounds % max(1, len(tasks))
        works = {task: self._work(task, batch) for task in (*tasks[first:], *tasks[:first])}
        only = self._search.turn({kind for work in works.values() for kind in kinds(work)}) if self._search.lasts else None
        if only is not None:
            works = {task: _only(only, work) for task, work in works.items()}
        works = {task: work for task, work in works.items() if any(work)}
        one_task = only is not None and only is not PoisonKind.RECORDS
        return dict(islice(works.items(), 1)) if one_task else works

    def _work(self, task: PartitionTask, batch: PolledBatch) -> PartitionWork:
        answers = answers_of(task.results, self._search.most_answers)
        timers = self._wall_clock.timers(task, self._search.most_timers)
        return PartitionWork(answers, timers, batch.records.get(task, ()))


def kinds(work: PartitionWork) -> Collection[PoisonKind]:
    there = (PoisonKind.ANSWERS, work.answers), (PoisonKind.TIMERS, work.timers), (PoisonKind.RECORDS, work.records)
    return [kind for kind, what in there if what]


def _only(kind: PoisonKind, work: PartitionWork) -> PartitionWork:
    match kind:
        case PoisonKind.ANSWERS:
            return PartitionWork(answers=work.answers)
        case PoisonKind.TIMERS:
            return PartitionWork(timers=work.timers)
        case PoisonKind.RECORDS:
            return PartitionWork(records=work.records)
