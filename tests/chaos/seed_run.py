"""One run: a broker, workers, a publisher and the faults of a plan; then all must be handled in time, and be as it should be."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from streams.cli.process.exit_codes import CONFIGURATION
from streams.errors import BrokerError
from streams.kafka.backlog import BacklogReader
from streams.kafka.status import NamespaceStatus, Status, status
from tests.chaos.chaos_applications import APPLICATIONS
from tests.chaos.chaos_operator import ChaosOperator
from tests.chaos.chaos_oracle import ChaosOracle, Findings
from tests.chaos.chaos_publisher import ChaosPublisher
from tests.chaos.chaos_report import SeedResult
from tests.chaos.injector import Injector
from tests.chaos.installation import PARTITIONS, PREFIX, Installation
from tests.chaos.pauses import longest_waits, pauses
from tests.chaos.plan import Plan
from tests.chaos.topic_accidents import TopicAccident
from tests.support.inbox import Foreign
from tests.support.workers import settings

TO_START = 120.0
"""s until each partition has a worker: a busy machine is given time."""
TO_SETTLE = 120.0
"""s after the last fault, and after the last event was published, in which all must be handled."""
TICK = 0.02
BETWEEN_LOOKS = 1.0
SHOWN = 5
"""Rows that a server has otherwise."""
PARKED = "are parked"


class Hung(Exception):
    """Something is not handled within the time that it is given."""


class SeedRun:
    """`folder` is empty, and holds what the processes leave."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._application = APPLICATIONS[plan.application]
        self._app = self._application.app()
        self._spaces = [space.name for space in self._app.namespaces]

    def run(self) -> SeedResult:
        """Raises nothing that the run finds: the result says it."""
        result, began = SeedResult(self._plan), time.monotonic()
        with Installation(self._plan, self._application, self._folder) as installation:
            try:
                self._run(installation, result)
            except Hung as error:
                result.hung = str(error)
            except AssertionError as error:
                result.failures.append(str(error))
            except Exception:  # noqa: BLE001 - the other runs go on
                result.failures.append(traceback.format_exc())
            result.failures += installation.problems()
            result.worker_ends = [(it.name, it.code) for it in installation.ends()]
        result.broker_ends = installation.broker.ended_by_itself
        result.seconds = time.monotonic() - began
        return result

    def _run(self, installation: Installation, result: SeedResult) -> None:
        config = settings(self._folder / "state", PREFIX, partitions=str(PARTITIONS))
        foreign = Foreign(self._app, config, installation.broker.address)
        looks = Looks(foreign, self._spaces)
        wait(installation, looks.not_owned, TO_START, "before the first event")
        publisher = ChaosPublisher(foreign.clients, config, self._application, self._plan.size, self._plan.seed)
        accident = TopicAccident(self._plan.accident, installation, foreign, self._application)
        with closing(ChaosOperator(foreign)) as operator:
            self._publish(installation, publisher, operator, result)
            accident.before_settling()
            result.settled = settle(installation, looks, operator)
        if not accident.stops_workers:
            installation.stop_workers()
        oracle = ChaosOracle(
            foreign, publisher.published, publisher.confirmed, installation.calls, self._application.said,
            timers_fire=accident.stops_workers and bool(self._application.past),
        )  # fmt: skip
        self._judge(result, oracle.examine())
        if not self._application.past:  # timers that come due change rows meanwhile
            for server in installation.servers:
                result.differences = list(server.differences(foreign, server.tick))
                result.failures += result.differences[:SHOWN]
        if accident.stops_workers:
            installation.expected_ends.add(CONFIGURATION)
            result.failures += accident.at_the_end()
            installation.stop_workers()
        installation.stop_servers()

    def _publish(
        self, installation: Installation, publisher: ChaosPublisher, operator: ChaosOperator, result: SeedResult
    ) -> None:
        """Until all is published and the last fault is over."""
        injector = Injector(installation, operator, self._plan.faults)

        def tick() -> None:
            injector.tick()
            installation.tick()

        result.began = time.time()
        injector.start()
        publisher.start()
        try:
            while not injector.done:
                tick()
                time.sleep(TICK)
            publisher.finish(tick)
        finally:
            publisher.stop()
            result.happened, result.not_run = injector.happened, injector.not_run
            result.published = len(publisher.published)

    @staticmethod
    def _judge(result: SeedResult, findings: Findings) -> None:
        result.events = findings.events
        result.lost, result.doubled = len(findings.lost), len(findings.doubled)
        result.misordered, result.unequal = len(findings.misordered), len(findings.unequal)
        result.failures += findings.all()
        result.pauses = pauses(findings.handled)
        result.waits = longest_waits(result.happened, findings.waits)


class Looks:
    """Asks again and again what is left to do, as `retold status` does."""

    def __init__(self, foreign: Foreign, spaces: list[str]) -> None:
        self._foreign, self._spaces, self._backlog = foreign, spaces, BacklogReader(foreign.clients)

    def not_owned(self) -> str:
        """The partitions without a worker, in words; empty if there are none."""
        found = self._now()
        if isinstance(found, str):
            return found
        missing = [str(space.missing) for space in found.namespaces if space.missing]
        return ", ".join(missing or [f"{name} has no worker" for space in found.namespaces for name in unowned(space)])

    def left_over(self) -> str:
        """As above: what is not handled."""
        found = self._now()
        if isinstance(found, str):
            return found
        return "; ".join([*self._of_transactions(found), *(text for it in found.namespaces for text in self._of_namespace(it))])

    def _now(self) -> Status | str:
        clients, codec = self._foreign.clients, self._foreign.codec
        try:
            return status(clients, self._foreign.config.prefix, self._spaces, codec, self._backlog)
        except BrokerError as error:
            return str(error)

    def _of_transactions(self, found: Status) -> Iterator[str]:
        yield from (f"a transaction is open in {it.topic}-{it.partition}: {it}" for it in found.open_transactions)

    def _of_namespace(self, found: NamespaceStatus) -> Iterator[str]:
        if found.ended is not None:
            yield f"{found.name} was ended: {found.ended.why}"
        yield from (f"{it.topic}-{it.partition} is blocked at {it.offset}: {it.reason}" for it in found.waiting)
        for part in found.partitions:
            if part.lag:
                yield f"{found.name}-{part.partition} has {part.lag} events left ({part.state}, {part.state_why or 'no reason'})"
            elif part.owner is None:
                yield f"{found.name}-{part.partition} has no worker"
        if found.calls:
            yield f"{found.calls} calls of {found.name} have no answer"
        if found.parked:
            yield f"{found.parked} events of {found.name} {PARKED}"
        if found.timer_due is not None and found.timer_due <= self._foreign.clients.clock.now():
            yield f"a timer of {found.name} is due"


def unowned(space: NamespaceStatus) -> Iterator[str]:
    """The partitions without a worker."""
    yield from (f"{space.name}-{part.partition}" for part in space.partitions if part.owner is None)


def settle(installation: Installation, looks: Looks, operator: ChaosOperator) -> float:
    """Until all is handled by the last version, and what is parked is retried. Gives how many s it took. Raises Hung."""

    def left_over() -> str:
        words = looks.left_over()
        if PARKED in words:
            operator.retry_parked()
        return words

    began = time.monotonic()
    installation.deploy_last()
    wait(installation, left_over, TO_SETTLE, "after the last fault")
    return time.monotonic() - began


def wait(installation: Installation, left: Callable[[], str], seconds: float, when: str) -> None:
    """Until nothing is left. Raises Hung."""
    until, look = time.monotonic() + seconds, 0.0
    while True:
        installation.tick()
        if time.monotonic() >= look:
            words = left()
            if not words:
                return
            if time.monotonic() > until:
                raise Hung(f"{seconds:.0f} s {when}: {words}")
            look = time.monotonic() + BETWEEN_LOOKS
        time.sleep(TICK)
