"""A run that one number decides: two workers of each namespace of an application, and what happens to them.

The same seed gives the same run, request by request. After the last fault everything must be handled within a bounded time; then
the topics are verified as `retold verify` does it, and each event that was published is looked for.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from streams import App
from streams.errors import BrokerError
from streams.kafka.schemas_topic import publish_schemas
from streams.kafka.topics import group_of, topic_names
from streams.worker.assemble import WorkerParts
from streams.worker.parked_bodies import IN_MEMORY
from tests.simulator import faults
from tests.simulator.broken_records import LARGEST
from tests.simulator.broker import MemoryBroker
from tests.simulator.coordinators import Coordinators
from tests.simulator.deployments import codecs, versions
from tests.simulator.faults import Fault
from tests.simulator.gateways import LoopFlag, LoopOfCalls, Services
from tests.simulator.operators import Operators
from tests.simulator.oracle import Oracle, Place, Unsettled
from tests.simulator.random_change import a_change
from tests.simulator.random_publisher import RandomPublisher
from tests.simulator.time import Process, VirtualClock
from tests.simulator.unruly import Crash, Trouble, unruly_clients
from tests.simulator.workers import SteppedWorker
from tests.support.pasts import answered
from tests.support.workers import settings

PARTITIONS, SLOTS = 3, 2
EVENTS, REQUESTS = 300, 2500
"""How many events are published, and among how many requests the faults are."""
SESSION = 6.0
STEPS_TO_SETTLE = 6000
LETTING_GO = 50
"""How often at most all that is parked is retried, until nothing is parked any more."""
CORRECTED = 5
"""Every so many seeds the past is corrected."""
LATER = timedelta(hours=48)
"""In which every timer comes due."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's garbage collector: a run's records live to its end, and to look through them takes a sixth of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class SeededWorker(SteppedWorker):
    """Its gateways are called in `step`, too. `end`: nothing of its process goes on."""

    def __init__(self, run: SeededRun, namespace: str, slot: int) -> None:
        self.name, self.namespace = f"{namespace}.{slot}", namespace
        self._clock = clock = run.trouble.clock_of(self.name)
        self._loop = loop = LoopOfCalls(clock)
        self.end = loop.end
        run.loops.append(loop)
        process = Process(clock, lambda: LoopFlag(clock, loop))
        clients = unruly_clients(run.trouble, self.name)
        app, codec = run.apps[run.versions[self.name]], run.codecs[run.versions[self.name]].copy()
        publish_schemas(clients, "", codec)
        memory = {"parked_bytes": run.parked_bytes, "due_bytes": run.due_bytes, "call_bytes": run.due_bytes}
        parts = WorkerParts(app, run.config, clients, codec, process.runtime, loop.get, **memory)
        super().__init__(parts, process, namespace, slot)

    def timers_due(self) -> Iterator[Place]:
        """Where it has timers whose time has come."""
        now = self._clock.now()
        for task in self.cycle.tasks.running():
            if any(timer.at <= now for timer in task.image.due.values()):
                yield self.namespace, task.partition

    def step(self) -> None:
        self._loop.step()
        super().step()

    def stop(self) -> None:
        super().stop()
        self.end()


def _create_topics(broker: MemoryBroker, app: App) -> None:
    for space in app.namespaces:
        names = topic_names("", space.name)
        broker.create(names[1:], PARTITIONS)
        broker.largest |= dict.fromkeys(names[2:], LARGEST)
    broker.create(["retold-schemas", "retold-corrections"], 1)


class SeededRun:
    """`plan` takes the place of the seed's faults, to look for the fewest that fail."""

    def __init__(self, seed: int, state: Path, plan: Sequence[Fault] | None = None) -> None:
        self.seed, self.dice = seed, random.Random(seed)
        self.kind = self.dice.choice(["bank", "timed", "shop"])
        self.services = Services(random.Random(seed), answered)
        self.apps = [self.services.behind(it) for it in versions(self.kind, self.dice)]
        self.codecs, app = codecs(self.kind), self.apps[-1]
        limit, tries = self.dice.choice(["3", "10", "200"]), self.dice.choice(["2", "10"])
        given = {"partitions": str(PARTITIONS), "transaction_events": limit, "gateway_tries": tries, "standbys": str(seed % 2)}
        self.config = settings(state, "", **given)
        self.parked_bytes = [IN_MEMORY, 0, 4_000][seed % 3]
        self.due_bytes = [IN_MEMORY, 0, 4_000][seed // 3 % 3]
        self.broker = MemoryBroker(VirtualClock())
        _create_topics(self.broker, app)
        self.plan = self._decided() if plan is None else list(plan)
        self.trouble = Trouble(self.broker, self.plan, self._act)
        self.publisher = RandomPublisher(self.kind, self.broker, self.codecs[0], self.dice)
        self.operators = Operators(app, self.broker, self.codecs[-1], self.dice)
        self.coordinators = Coordinators(
            app, self.codecs[-1], PARTITIONS, self.trouble, self.dice, partial(a_change, self.dice, self.publisher.make)
        )
        self._oracle = Oracle(app, self.codecs[-1], self.broker, PARTITIONS)
        self.versions: dict[str, int] = {}
        """By worker, which of the applications it runs."""
        self._workers: dict[str, SeededWorker] = {}
        self._away: dict[str, float] = {}
        """Workers that do not run, and when they are started again."""
        self._left_group: list[tuple[float, str, object]] = []
        """Members that were killed, which their group misses later."""
        self._to_stop: set[str] = set()
        self.loops: list[LoopOfCalls] = []
        for space in app.namespaces:
            for slot in range(SLOTS):
                self._away[f"{space.name}.{slot}"], self.versions[f"{space.name}.{slot}"] = 0.0, 0

    @uncollected()
    def run(self) -> None:
        """Raises Unsettled, or what a fault of the code raises."""
        try:
            self._run()
        finally:
            self.coordinators.end()
            for loop in self.loops:
                loop.end()

    def forget(self) -> None:
        """Let go of all records: each leads to everything else, so only Python's collector would end them, one by one."""
        for partitions in self.broker.topics.values():
            for partition in partitions:
                partition.entries.clear()
        self.broker.producers.clear()

    def _run(self) -> None:
        published = self.publisher.published
        while len(published) < EVENTS or (self.trouble.requests < REQUESTS and self.trouble.left):
            if len(published) < EVENTS and self.dice.random() < 0.15:
                for _ in range(self.dice.randint(1, 8)):
                    self.publisher.publish()
            self._one_step(self.dice.choice(self._names()))
        self.trouble.left.clear()
        self._deploy_last()
        self._settle("after the last fault", may_wait=True)
        self.broker.clock.step(LATER.total_seconds())
        if self.coordinators.waits:
            self.publisher.publish()
        self._settle("after the last timer is due")
        self._oracle.check_corrected(self.coordinators.corrections)
        if self.services.contradictions:
            raise Unsettled(f"gateways were called with other data under one key: {self.services.contradictions[:3]}")
        self._oracle.check(self.publisher, self.operators, self.services.asked)

    def _names(self) -> list[str]:
        return [*sorted({*self._workers, *self._away}), *self.coordinators.names()]

    def _one_step(self, name: str) -> None:
        clock = self.broker.clock
        for it in [it for it in self._left_group if it[0] <= clock.monotonic()]:
            self._left_group.remove(it)
            self._expire(it[1], it[2])
        try:
            if name in self._to_stop and name in self._workers:
                self._to_stop.discard(name)
                self._workers[name].stop()
                del self._workers[name]
                self._away[name] = clock.monotonic() + 1
            elif name in self._workers:
                self._workers[name].step()
            elif name in self.coordinators.at_work:
                self.coordinators.step(name)
            elif name not in self._away:  # a coordinator that has ended in the meantime
                pass
            elif self._away[name] <= clock.monotonic():
                self._start(name)
            else:
                clock.sleep(0.05)
        except Crash:
            self._killed(name)

    def _start(self, name: str) -> None:
        namespace, _, slot = name.rpartition(".")
        try:
            self._workers[name] = SeededWorker(self, namespace, int(slot))
        except BrokerError:  # the command ends with this, and whoever supervises it starts it again
            self._away[name] = self.broker.clock.monotonic() + 5
            return
        del self._away[name]
        self.trouble.tell(f"{name} runs")

    def _killed(self, name: str) -> None:
        now = self.broker.clock.monotonic()
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.end()
        if worker is not None and worker.cycle._consumer is not None:
            self._left_group.append((now + SESSION, worker.namespace, worker.cycle._consumer))
        self._away[name] = now + self.dice.choice([0.1, 1.0, 8.0])

    def _act(self, owner: str, fault: Fault) -> None:
        if fault.kind == faults.COMPACT:
            self._compact()
        elif fault.kind == faults.OPERATOR:
            self.trouble.tell(f"an operator says: {self.operators.act()}")
        elif fault.kind == faults.CORRECTION:
            self.trouble.tell(self.coordinators.begin())
        elif (worker := self._workers.get(owner)) is not None:
            self._act_on_worker(worker, fault)
        elif owner in self.coordinators.at_work:
            self.coordinators.act(owner, fault)

    def _act_on_worker(self, worker: SeededWorker, fault: Fault) -> None:
        owner = worker.name
        match fault.kind:
            case faults.RESTART:
                self._to_stop.add(owner)
            case faults.EXPIRE:
                self._expire(worker.namespace, worker.cycle._consumer)
            case faults.DEPLOY:
                self.versions[owner] = (self.versions[owner] + 1 + int(fault.amount * 2)) % len(self.apps)
                self._to_stop.add(owner)
            case faults.PAUSE:
                self._pause(worker, 20 * fault.amount**2)
            case faults.LATE_COMMIT:  # beyond its session, and mostly within its transaction's time-out
                self._pause(worker, SESSION + 5 * fault.amount)

    def _decided(self) -> list[Fault]:
        """Faults, and what people do meanwhile."""
        dice = self.dice
        found = faults.chosen(dice, dice.randint(5, 14), REQUESTS)
        for kind, most in ((faults.DEPLOY, 3), (faults.OPERATOR, 8)):
            found += faults.chosen(dice, dice.randint(0, most), REQUESTS, [kind])
        if self.seed % CORRECTED == 0:
            found += faults.chosen(dice, dice.randint(1, 3), REQUESTS, [faults.CORRECTION])
        return sorted(found, key=lambda it: it.at)

    def _deploy_last(self) -> None:
        """Everywhere, so that all that is parked can be handled."""
        self._to_stop |= {name for name in self.versions if self.versions[name] != len(self.apps) - 1}
        self.versions = dict.fromkeys(self.versions, len(self.apps) - 1)

    def _compact(self) -> None:
        for space in self.apps[-1].namespaces:
            for topic in topic_names("", space.name)[2:]:  # all but the inbox
                for partition in self.broker.topics[topic]:
                    partition.compact()

    def _pause(self, worker: SeededWorker, seconds: float) -> None:
        """It stands still, and the others go on; beyond its session they get what it had."""
        self.trouble.busy = True
        others = [name for name in self._names() if name != worker.name]
        half = self.dice.randint(1, 40)
        try:
            for _ in range(half):
                self._one_step(self.dice.choice(others))
            self.broker.clock.sleep(seconds)
            self.trouble.go_by()
            if seconds > SESSION:
                self._expire(worker.namespace, worker.cycle._consumer)
            for _ in range(half):
                self._one_step(self.dice.choice(others))
        finally:
            self.trouble.busy = False

    def _expire(self, namespace: str, member: object) -> None:
        group = group_of("", namespace)
        members = self.broker.groups[group].members
        if member in members:
            self.broker.expire(group, members.index(member))

    def _settle(self, when: str, *, may_wait: bool = False) -> None:
        """All workers go on by turns until nothing is left, but corrections that may wait for a time. Raises Unsettled."""
        # A coordinator makes one request in a step, and waits for what is in flight.
        until, let_go = self.broker.clock.monotonic() + 600 * (1 + len(self.coordinators.corrections)), 0
        for number in range(STEPS_TO_SETTLE):
            for name in self._names():
                self._one_step(name)
            nothing = not self._away and not self.coordinators.is_busy(may_wait=may_wait) and not self._left_over()
            if nothing or number % 100 == 50:
                parked, let_go = self.operators.let_go(), let_go + nothing
                if nothing and not parked:
                    return
                if let_go > LETTING_GO:
                    raise Unsettled(f"{when} keys are parked still: {self.operators.heads()[:3]}")
            if self.broker.clock.monotonic() > until:
                break
        raise Unsettled(f"{when} it does not come to its end: {self._left_over() or self._away or self.coordinators.left_over()}")

    def _left_over(self) -> str:
        return self._oracle.left_over({place for worker in self._workers.values() for place in worker.timers_due()})
