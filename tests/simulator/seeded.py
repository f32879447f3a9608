"""A run that one number decides: two workers of each namespace of an application, and what happens to them.

The same seed gives the same run, request by request. After the last fault everything must be handled within a bounded time; then
the topics are verified as `retold verify` does it, and each event that was published is looked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from confluent_kafka import murmur2

from streams.codec import codec_of
from streams.data import EventData, namespace_of
from streams.engine import marker
from streams.engine.attributes import time_text
from streams.engine.envelope import log_header
from streams.engine.records import Headers
from streams.engine.times import from_micros
from streams.errors import BrokerUnavailable
from streams.history.verification.verification_records import StoredRecord
from streams.kafka.topics import group_of, topic_names
from streams.testing.world_io import headers_of
from streams.worker.assemble import WorkerParts, cycle_of
from streams.worker.polled_batch import PolledBatch
from tests.applications import bank, shop, timed
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.applications.timed.events import AlarmTouch
from tests.simulator import faults
from tests.simulator.broker import OPEN, Entry, MemoryBroker
from tests.simulator.faults import Fault
from tests.simulator.gateways import LoopFlag, Services, VirtualLoop
from tests.simulator.time import Process, VirtualClock
from tests.simulator.unruly import Crash, Trouble, unruly_clients
from tests.support.pasts import answered
from tests.support.stored_topics import SUFFIXES, StoredTopics, Where
from tests.support.workers import settings

PARTITIONS, SLOTS = 3, 2
EVENTS, REQUESTS = 300, 2500
"""How many events are published, and among how many requests the faults are."""
SESSION = 6.0
STEPS_TO_SETTLE = 6000
LATER = timedelta(hours=48)
"""In which every timer comes due."""


class Unsettled(Exception):
    """What must hold after a run does not."""


@dataclass
class Published:
    namespace: str
    partition: int
    event_id: str
    key: str


class Worker:
    """Of one namespace; `step` lets it do half a cycle, and one step of each of its works beside."""

    def __init__(self, run: SeededRun, namespace: str, slot: int) -> None:
        self.name, self.namespace, self.slot = f"{namespace}.{slot}", namespace, slot
        self._loop = VirtualLoop(run.broker.clock)
        run.loops.append(self._loop)
        self._process = Process(run.broker.clock, lambda: LoopFlag(run.broker.clock, self._loop))
        parts = WorkerParts(
            run.app, run.config, unruly_clients(run.trouble, self.name), run.codec, self._process.runtime,
            lambda: self._loop,
        )
        self.cycle = cycle_of(parts, namespace, slot)
        self._process.runtime.background("beside", 1).start(self.cycle.members.topics.watch)
        self.cycle.open()
        self._batch: PolledBatch | None = None

    def step(self) -> None:
        self._process.step()
        self._loop.step()
        if self._batch is None:
            self._batch = self.cycle.poll()
        else:
            batch, self._batch = self._batch, None
            self.cycle.handle(batch)

    def stop(self) -> None:
        self.cycle.stopping.set()
        self.cycle.tasks.give_up()
        self.cycle.finish()
        self.cycle.close()
        self.end()

    def end(self) -> None:
        """Nothing of its process goes on."""
        self._loop.end()


class SeededRun:
    """`plan` takes the place of the seed's faults, to look for the fewest that fail."""

    def __init__(self, seed: int, state: Path, plan: Sequence[Fault] | None = None) -> None:
        self.seed, self.dice = seed, random.Random(seed)
        self.kind = self.dice.choice(["bank", "timed", "shop"])
        self.services = Services(random.Random(seed), answered)
        self.app = self.services.behind({"bank": bank.app, "timed": timed.app, "shop": shop.app}[self.kind]())
        self.codec = codec_of(self.app)
        limit = self.dice.choice(["3", "10", "200"])
        self.config = settings(state, "", partitions=str(PARTITIONS), transaction_events=limit)
        self.broker = MemoryBroker(VirtualClock())
        for space in self.app.namespaces:
            self.broker.create(topic_names("", space.name)[1:], PARTITIONS)
        self.broker.create(["retold-schemas"], 1)
        decided = faults.chosen(self.dice, self.dice.randint(5, 14), REQUESTS)
        self.plan = decided if plan is None else list(plan)
        self.trouble = Trouble(self.broker, self.plan, self._act)
        self.published: list[Published] = []
        self._sent: list[tuple[EventData, Headers]] = []
        self._old = self.dice.random() < 0.5
        self._workers: dict[str, Worker] = {}
        self._away: dict[str, float] = {}
        """Workers that do not run, and when they are started again."""
        self._left_group: list[tuple[float, str, object]] = []
        """Members that were killed, which their group misses later."""
        self._to_stop: set[str] = set()
        self.loops: list[VirtualLoop] = []
        for space in self.app.namespaces:
            for slot in range(SLOTS):
                self._away[f"{space.name}.{slot}"] = 0.0

    def run(self) -> None:
        """Raises Unsettled, or what a fault of the code raises."""
        try:
            self._run()
        finally:
            for loop in self.loops:
                loop.end()

    def _run(self) -> None:
        while len(self.published) < EVENTS or (self.trouble.requests < REQUESTS and self.trouble.left):
            if len(self.published) < EVENTS and self.dice.random() < 0.15:
                for _ in range(self.dice.randint(1, 8)):
                    self._publish()
            self._one_step(self.dice.choice(self._names()))
        self.trouble.left.clear()
        self._settle("after the last fault")
        self.broker.clock.step(LATER.total_seconds())
        self._settle("after the last timer is due")
        self._check()

    def _names(self) -> list[str]:
        return sorted({*self._workers, *self._away})

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
            elif self._away[name] <= clock.monotonic():
                self._start(name)
            else:
                clock.sleep(0.05)
        except Crash:
            self._killed(name)

    def _start(self, name: str) -> None:
        namespace, _, slot = name.rpartition(".")
        try:
            self._workers[name] = Worker(self, namespace, int(slot))
        except BrokerUnavailable:  # the command ends with this, and whoever supervises it starts it again
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
        worker = self._workers.get(owner)
        match fault.kind:
            case faults.RESTART:
                self._to_stop.add(owner)
            case faults.EXPIRE if worker is not None:
                self._expire(worker.namespace, worker.cycle._consumer)
            case faults.COMPACT:
                for space in self.app.namespaces:
                    for partition in self.broker.topics[topic_names("", space.name).table]:
                        partition.compact()
            case faults.PAUSE if worker is not None:
                self._pause(worker, 20 * fault.amount**2)
            case faults.LATE_COMMIT if worker is not None:  # beyond its session, and mostly within its transaction's time-out
                self._pause(worker, SESSION + 5 * fault.amount)

    def _pause(self, worker: Worker, seconds: float) -> None:
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

    def _publish(self) -> None:
        number = len(self.published)
        if number > 5 and self.dice.random() < 0.05:
            self._send(*self.dice.choice(self._sent))  # a publisher repeats what it has no answer for
            return
        data = {"bank": self._bank, "timed": self._alarm, "shop": self._order}[self.kind](number)
        late = timedelta(seconds=self.dice.choice([0, 0, 0, 30, 300]))
        time = from_micros(self.broker.clock.now()) - late
        if self._old:  # as in an import: what is scheduled comes due between events of its key
            time += number * timedelta(minutes=20) - timedelta(hours=120)
        headers = headers_of(data, f"e{number}", "test", time_text(time))
        self._sent.append((data, headers))
        at = self._send(data, headers)
        self.published.append(Published(namespace_of(data.event_type), at, f"e{number}", data.key))

    def _send(self, data: EventData, headers: Headers) -> int:
        key = data.key.encode()
        at = int(murmur2(key, PARTITIONS))
        inbox = topic_names("", namespace_of(data.event_type)).inbox
        self.broker.append((inbox, at), key, self.codec.encode(data), headers, None)
        return at

    def _bank(self, number: int) -> EventData:
        accounts = [f"a{it}" for it in range(6)]
        if number < len(accounts):
            return AccountOpen(account=accounts[number], balance=1000)
        source, target = self.dice.sample([*accounts, "nobody"], 2)
        return TransferStart(transfer=f"t{number}", source=source, target=target, amount=self.dice.randint(1, 90))

    def _order(self, number: int) -> EventData:
        skus = "xyz"
        if number < len(skus):
            return StockReceive(sku=skus[number], quantity=300, price=3)
        if self.dice.random() < 0.1:
            return OrderCancel(order=f"o{self.dice.randint(3, number)}", why="no")
        lines = tuple(Line(sku=self.dice.choice("xyzq"), quantity=self.dice.randint(1, 3)) for _ in range(self.dice.randint(1, 2)))
        return OrderPlace(order=f"o{number}", customer="c", lines=lines)

    def _alarm(self, _number: int) -> EventData:
        return AlarmTouch(
            name=self.dice.choice("abcdefgh"), number=self.dice.randint(0, 9), after=self.dice.choice([0, 0, 1, 2, 6]),
            other=self.dice.choice(["", "z", "y"]),
        )  # fmt: skip

    def _settle(self, when: str) -> None:
        """All workers go on by turns until nothing is left. Raises Unsettled."""
        until = self.broker.clock.monotonic() + 600
        for _ in range(STEPS_TO_SETTLE):
            for name in self._names():
                self._one_step(name)
            if not self._away and not self._left_over():
                return
            if self.broker.clock.monotonic() > until:
                break
        raise Unsettled(f"{when} it does not come to its end: {self._left_over() or self._away}")

    def _left_over(self) -> str:
        """What is not handled yet, in words; empty if nothing is."""
        for space in self.app.namespaces:
            topics = topic_names("", space.name)
            for at in range(PARTITIONS):
                inbox = self.broker.partition((topics.inbox, at))
                if inbox.stable < inbox.end:
                    return f"{topics.inbox}-{at} has an open transaction at {inbox.stable}"
                said = self._marker(space.name, at)
                if inbox.readable(0 if said is None else said.inbox_next, committed=True) is not None:
                    return f"{topics.inbox}-{at} is not handled from {said and said.inbox_next} on"
                if said is not None and said.calls:
                    return f"{said.calls} calls of {topics.inbox}-{at} have no answer"
                if said is not None and said.timers and self._is_due(space.name, at):
                    return f"timers of {topics.inbox}-{at} are due"
        return ""

    def _is_due(self, namespace: str, at: int) -> bool:
        for worker in self._workers.values():
            if worker.namespace == namespace:
                for task in worker.cycle.tasks.running():
                    if task.partition == at and any(timer.at <= self.broker.clock.now() for timer in task.image.due.values()):
                        return True
        return False

    def _marker(self, namespace: str, at: int) -> marker.Marker | None:
        partition = self.broker.partition((topic_names("", namespace).table, at))
        for offset in range(partition.stable - 1, -1, -1):
            it = partition.entries[offset]
            if it.key == marker.KEY and partition.readable(offset, committed=True) == (offset, it):
                return marker.decode(it.value or b"")
        return None

    def _check(self) -> None:
        """Raises Unsettled."""
        for topic, partitions in self.broker.topics.items():
            for at, partition in enumerate(partitions):
                if any(it.transaction is not None and it.transaction.state == OPEN for it in partition.entries):
                    raise Unsettled(f"{topic}-{at} has a transaction that is open")
        self._check_published()
        self._check_timers()
        if self.services.contradictions:
            raise Unsettled(f"gateways were called with other data under one key: {self.services.contradictions[:3]}")
        report = self._stored().verified()
        if report.findings:
            raise Unsettled("; ".join(f"{it.where} {it.kind.name}: {it.expected}, {it.found}" for it in report.findings[:5]))

    def _check_published(self) -> None:
        """Each event that was published is in its log once, or counted elsewhere, and those of a key are in their order."""
        for space in self.app.namespaces:
            for at in range(PARTITIONS):
                log = list(self._log(space.name, at))
                ids = [(self._header(it, "ce_id"), (it.key or b"").rpartition(b"@")[0].decode()) for it in log]
                counts = Counter(ids)
                ours = [it for it in self.published if (it.namespace, it.partition) == (space.name, at)]
                for it in ours:
                    if (times := counts[it.event_id, it.key]) != 1:
                        raise Unsettled(f"{it.event_id} of {it.key} is {times} times in the log of {space.name}-{at}")
                wanted = [(it.event_id, it.key) for it in ours]
                if [it for it in ids if it in set(wanted)] != wanted:
                    raise Unsettled(f"events of {space.name}-{at} are not in the order in which they were published")

    def _check_timers(self) -> None:
        """No event of a key is handled before a timer of that key that was due before the event's time (rule 23)."""
        for space in self.app.namespaces:
            for at in range(PARTITIONS):
                log = [_Logged.of(it) for it in self._log(space.name, at)]
                index = {(it.key, it.event_id): number for number, it in enumerate(log)}
                for number, it in enumerate(log):
                    scheduled = index.get((it.key, it.cause)) if it.fired else None
                    if scheduled is None:
                        continue
                    for other in log[scheduled + 1 : number]:
                        if other.key == it.key and other.time > it.time:
                            raise Unsettled(f"{other} of {space.name}-{at} was handled before {it}, which was due")

    @staticmethod
    def _header(entry: Entry, name: str) -> str:
        return next((value.decode() for header, value in entry.headers if header == name), "")

    def _log(self, namespace: str, at: int) -> Iterator[Entry]:
        for _, it in self._committed((topic_names("", namespace).log, at)):
            yield it

    def _committed(self, place: tuple[str, int]) -> Iterator[tuple[int, Entry]]:
        partition, offset = self.broker.partition(place), 0
        while (found := partition.readable(offset, committed=True)) is not None:
            offset = found[0] + 1
            yield found

    def _stored(self) -> StoredTopics:
        stored = StoredTopics(self.app, PARTITIONS, lambda key: int(murmur2(key, PARTITIONS)))
        for space in self.app.namespaces:
            for kind, suffix in SUFFIXES.items():
                for at in range(PARTITIONS):
                    stored.topics[Where(kind, (space.name, at))] = [
                        _record(offset, it) for offset, it in self._committed((f"{space.name}{suffix}", at))
                    ]
        return stored


class _Logged(NamedTuple):
    """`fired`: it is a timer of its own key."""

    key: str
    event_id: str
    cause: str
    time: datetime
    fired: bool

    @classmethod
    def of(cls, it: Entry) -> Self:
        headers = dict(it.headers)
        said = log_header(it.headers)
        return cls(
            (it.key or b"").rpartition(b"@")[0].decode(), said.id or headers.get("ce_id", b"").decode(),
            headers.get("ce_causationid", b"").decode(), datetime.fromisoformat(headers["ce_time"].decode()), bool(said.timer),
        )  # fmt: skip


def _record(offset: int, it: Entry) -> StoredRecord:
    return StoredRecord(offset, it.key, it.value, list(it.headers))


