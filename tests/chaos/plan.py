"""What a seed decides: the application, how much is published, and which faults happen when and for how long."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KILLED = "worker killed"
STILL = "worker stands still"
RESTARTED = "worker restarted"
CLOCK = "worker's clock is wrong"
BROKER_KILLED = "broker killed"
BROKER_STILL = "broker stands still"
BROKER_RESTARTED = "broker restarted"
DELAYED = "requests delayed"
CUT = "connections cut"
HELD = "requests held"
LATE_END = "end of a transaction arrives late"
LOST_ENDS = "answers to ends are lost"
DEPLOYED = "other version deployed"
RETRIED = "parked keys are retried"
COMPACTED = "compaction is forced"

OFFSETS_DELETED = "offsets of groups deleted"
PARTITIONS_ADDED = "partitions added"
INBOX_MADE_AGAIN = "inbox made again"
ACCIDENTS = (OFFSETS_DELETED, PARTITIONS_ADDED, INBOX_MADE_AGAIN)
"""What somebody does to topics by mistake, once in a run, when it is nearly over."""
EVERY = 2
"""Every so many runs there is one."""

WORKERS, MORE_WORKERS, EVERY_FEW = 2, 3, 3
"""Processes of workers, and how many there are every few runs."""
DISK_FULL = "broker's disk full"
SERVER_KILLED = "server killed"
SERVER_STILL = "server stands still"
BUSY = "machine is busy"

WORKER, BROKER, LINK, TOPICS, SERVER, MACHINE = "worker", "broker", "link", "topics", "server", "machine"
"""What a fault is about. A link is the connection between a worker and the broker."""


class FaultKind(NamedTuple):
    """How often it is chosen among the others, and how long it lasts, in s. Of what is killed: how long it is away."""

    about: str
    weight: int
    shortest: float
    longest: float


KINDS = {
    KILLED: FaultKind(WORKER, 5, 0.1, 8.0),
    STILL: FaultKind(WORKER, 4, 1.0, 18.0),
    RESTARTED: FaultKind(WORKER, 2, 0.0, 0.0),
    CLOCK: FaultKind(WORKER, 2, 3.0, 15.0),
    BROKER_KILLED: FaultKind(BROKER, 2, 0.1, 5.0),
    BROKER_STILL: FaultKind(BROKER, 2, 1.0, 25.0),
    BROKER_RESTARTED: FaultKind(BROKER, 1, 0.0, 0.0),
    DELAYED: FaultKind(LINK, 2, 2.0, 8.0),
    CUT: FaultKind(LINK, 2, 0.0, 0.0),
    HELD: FaultKind(LINK, 2, 1.0, 12.0),
    LATE_END: FaultKind(LINK, 4, 8.0, 8.0),
    LOST_ENDS: FaultKind(LINK, 1, 2.0, 10.0),
    DEPLOYED: FaultKind(WORKER, 4, 0.0, 0.0),
    RETRIED: FaultKind(TOPICS, 2, 0.0, 0.0),
    COMPACTED: FaultKind(TOPICS, 1, 0.0, 0.0),
    SERVER_KILLED: FaultKind(SERVER, 1, 0.1, 5.0),
    SERVER_STILL: FaultKind(SERVER, 1, 1.0, 10.0),
    DISK_FULL: FaultKind(BROKER, 1, 2.0, 6.0),
    BUSY: FaultKind(MACHINE, 2, 5.0, 25.0),
}
MOST_OF_THE_BROKER = 2
"""While it is away nothing else can be seen."""
APART = 1.0
"""s between two faults of the same thing."""
FIRST = 1.0
"""s after which the first one may happen."""
HOURS = (-2.0, -0.5, 0.5, 2.0)
"""By how much a worker's clock is wrong."""
DELAY = 1.0
"""s by which a request is delayed at most."""
VERSIONS = 3
"""Of an application; where there are fewer, a number stands for the rest of its division."""


@dataclass(frozen=True)
class Fault:
    """It begins `at` s after the first event, and lasts so many s. `number` is the worker's, whose link may be meant.

    `amount` is the seconds by which a clock is wrong, or a request is late; or the number of the version that is deployed.
    """

    at: float
    kind: str
    number: int
    lasts: float
    amount: float = 0.0

    @property
    def about(self) -> tuple[str, int]:
        """What may have one fault at a time."""
        return KINDS[self.kind].about, self.number

    def __str__(self) -> str:
        whose = f" (worker {self.number})" if KINDS[self.kind].about in (WORKER, LINK) else ""
        amount = f", by {self.amount:g} s" if self.kind in (CLOCK, DELAYED) else ""
        amount += f", number {self.amount:g}" if self.kind == DEPLOYED else ""
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.at:5.1f} s  {self.kind}{whose}{lasts}{amount}"


@dataclass(frozen=True)
class Size:
    """Of each run: events that are published, the s in which they are, and how many faults happen meanwhile."""

    events: int = 14_000
    seconds: float = 40.0
    faults: int = 12


@dataclass(frozen=True)
class Plan:
    """`one_name`: the workers are of one instance, so that one takes the transactional id of another that ended.

    `accident` is one of ACCIDENTS, or empty.
    """

    seed: int
    application: str
    workers: int
    one_name: bool
    size: Size
    faults: Sequence[Fault]
    accident: str = ""
    servers: int = 1

    def lines(self) -> Iterator[str]:
        """For a person to read."""
        names = "one instance" if self.one_name else "instances of their own"
        yield (
            f"seed {self.seed}: {self.application}, {self.workers} workers as {names}, {self.servers} server, "
            f"{self.size.events:,} events in {self.size.seconds:.0f} s, {len(self.faults)} faults"
        )
        yield from (f"  {fault}" for fault in self.faults)
        if self.accident:
            yield f"  at the end: {self.accident}"


def plan_of(seed: int, applications: Sequence[str], size: Size, kinds: Sequence[str] = tuple(KINDS)) -> Plan:
    """The same seed with the same size gives the same plan."""
    dice = random.Random(seed)
    application, one_name = applications[seed % len(applications)], dice.random() < 0.5
    workers = MORE_WORKERS if seed % EVERY_FEW == 0 else WORKERS
    faults = _faults(dice, workers, size, kinds)
    accident = dice.choice(ACCIDENTS) if dice.randrange(EVERY) == 0 else ""
    return Plan(seed, application, workers, one_name, size, faults, accident)


def _faults(dice: random.Random, workers: int, size: Size, kinds: Sequence[str]) -> list[Fault]:
    """As many as there is room for, in their order."""
    made: list[Fault] = []
    weights = [KINDS[kind].weight for kind in kinds]
    for _ in range(50 * size.faults):
        if len(made) == size.faults:
            break
        [kind] = dice.choices(kinds, weights)
        fault = _fault(dice, kind, dice.randrange(workers), size.seconds)
        if not any(_collide(fault, other) for other in made) and not _too_many(fault, made):
            made.append(fault)
    return sorted(made, key=lambda it: it.at)


def _fault(dice: random.Random, kind: str, worker: int, seconds: float) -> Fault:
    about, _, shortest, longest = KINDS[kind]
    at, lasts = round(dice.uniform(FIRST, seconds), 1), round(dice.uniform(shortest, longest), 1)
    amounts = {CLOCK: 3600 * dice.choice(HOURS), DELAYED: round(dice.uniform(0.02, DELAY), 2), DEPLOYED: dice.randrange(VERSIONS)}
    return Fault(at, kind, worker if about in (WORKER, LINK) else 0, lasts, amounts.get(kind, 0.0))


def _collide(one: Fault, other: Fault) -> bool:
    return one.about == other.about and one.at <= other.at + other.lasts + APART and other.at <= one.at + one.lasts + APART


def _too_many(fault: Fault, made: Sequence[Fault]) -> bool:
    about = KINDS[fault.kind].about
    return about == BROKER and sum(it.about[0] == BROKER for it in made) >= MOST_OF_THE_BROKER
