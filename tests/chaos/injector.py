"""Lets the faults of a plan happen, each at its time, and ends each when its time is over."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count

from tests.chaos import plan
from tests.chaos.busy_machine import BusyMachine
from tests.chaos.chaos_operator import ChaosOperator
from tests.chaos.installation import Installation
from tests.chaos.plan import Fault

Act = Callable[[], None]
LATER = 3.0
"""s after which a broker whose disk was full has ended, if it ends."""


@dataclass
class Happened:
    """A fault that happened; `began` and `ended` in s since 1970."""

    fault: Fault
    began: float
    ended: float = 0.0


class Injector:
    """`tick` is called often, in the main thread, from `start` on until `done`."""

    def __init__(self, installation: Installation, operator: ChaosOperator, faults: Iterable[Fault]) -> None:
        self._installation, self._operator = installation, operator
        self._left: list[tuple[float, int, Act]] = []
        self._numbers = count()
        self._faults = list(faults)
        self.happened: list[Happened] = []
        self.not_run: list[Fault] = []
        """Faults that cannot happen on this machine."""

    def start(self) -> None:
        now = time.monotonic()
        for fault in self._faults:
            self._at(now + fault.at, partial(self._begin, fault))

    @property
    def done(self) -> bool:
        return not self._left

    def tick(self) -> None:
        while self._left and self._left[0][0] <= time.monotonic():
            heapq.heappop(self._left)[2]()

    def _at(self, when: float, act: Act) -> None:
        heapq.heappush(self._left, (when, next(self._numbers), act))

    def _begin(self, fault: Fault) -> None:
        if fault.kind == plan.DISK_FULL and self._installation.disk is None:
            self.not_run.append(fault)
            return
        happened = Happened(fault, time.time())
        self.happened.append(happened)
        end = {
            plan.BROKER: self._of_broker, plan.WORKER: self._of_worker, plan.LINK: self._of_link, plan.TOPICS: self._of_topics,
            plan.SERVER: self._of_server, plan.MACHINE: self._of_machine,
        }[fault.about[0]](fault)  # fmt: skip

        def over() -> None:
            end()
            happened.ended = time.time()

        self._at(time.monotonic() + fault.lasts, over)

    def _of_broker(self, fault: Fault) -> Act:
        """Begins it, and gives what ends it."""
        broker = self._installation.broker
        if fault.kind == plan.BROKER_STILL:
            broker.stand_still()
            return broker.go_on
        if fault.kind == plan.DISK_FULL:
            return self._fill_disk()
        if fault.kind == plan.BROKER_KILLED:
            broker.kill()
        else:
            broker.stop()
        return broker.start

    def _fill_disk(self) -> Act:
        """As above. Kafka ends at its first write, and is started again when there is room."""
        disk, broker = self._installation.disk, self._installation.broker
        assert disk is not None
        disk.fill()

        def look() -> None:
            if not disk.is_full:  # it may be full again by now
                broker.end_if_disk_was_full()

        def over() -> None:
            disk.free()
            look()
            self._at(time.monotonic() + LATER, look)

        return over

    def _of_worker(self, fault: Fault) -> Act:
        """As above."""
        worker = self._installation.workers[fault.number]
        begin, end = {
            plan.KILLED: (lambda: worker.kill(fault.lasts), nothing),
            plan.STILL: (worker.stand_still, worker.go_on),
            plan.RESTARTED: (worker.tell_to_stop, nothing),
            plan.DEPLOYED: (lambda: worker.deploy(int(fault.amount)), nothing),
            plan.CLOCK: (lambda: worker.set_clock_ahead(fault.amount), lambda: worker.set_clock_ahead(0.0)),
        }[fault.kind]
        begin()
        return end

    def _of_server(self, fault: Fault) -> Act:
        """As above."""
        [server] = self._installation.servers
        if fault.kind == plan.SERVER_STILL:
            server.stand_still()
            return server.go_on
        server.kill(fault.lasts)
        return nothing

    @staticmethod
    def _of_machine(fault: Fault) -> Act:
        """As above."""
        return BusyMachine(fault.lasts).end

    def _of_link(self, fault: Fault) -> Act:
        """As above; what changes a network is called in its thread."""
        link = self._installation.workers[fault.number].link
        network = link.network
        begin, end = {
            plan.DELAYED: (lambda: network.delay_each(fault.amount), lambda: network.delay_each(0.0)),
            plan.CUT: (network.cut, nothing),
            plan.HELD: (network.hold, network.let_go),
            plan.LATE_END: (network.late_end, network.deliver_late_end),
            plan.LOST_ENDS: (network.lose_ends, network.answer_ends),
        }[fault.kind]
        link.call(begin)
        return lambda: link.call(end)

    def _of_topics(self, fault: Fault) -> Act:
        """As above."""
        if fault.kind == plan.RETRIED:
            self._operator.retry_parked()
        else:
            self._operator.compact()
        return nothing


def nothing() -> None:
    """For a fault that is over at once."""
