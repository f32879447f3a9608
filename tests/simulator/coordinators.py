"""Who corrects the past in a seeded run: coordinators on several machines, which fail, and are started again with their plans."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from confluent_kafka import Message

from streams import App
from streams.codec import AvroCodec
from streams.engine.event_handlers import Limits
from streams.engine.wire_format import WireFormat
from streams.errors import HistoryError, InvalidChange, InvalidEvent, StalePlan, StreamsError
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.correction.planning import CorrectedLog, plan_correction
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import RecordedEvent, read_recorded
from streams.kafka.bounded_read import headers_of, read_to
from streams.kafka.clients import Clients
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.corrections_topic import read_corrections
from streams.kafka.offsets import ends
from streams.kafka.topics import topic_names
from tests.simulator import faults
from tests.simulator.faults import Fault
from tests.simulator.stepped_thread import SteppedThread
from tests.simulator.unruly import Trouble, unruly_clients

KnownEvents = dict[tuple[str, int, int], RecordedEvent]
"""By topic, partition and offset: what a log has there stays as it is."""
MakeChange = Callable[[Past, str], Change]
"""Of a past; what is put in gets the name."""
STILL_UP_TO = 200.0
"""s that a coordinator stands still at most: longer than others wait for it."""
AT_ONCE = (1, 1, 20)
"""Requests that a coordinator makes before others go on: it reads all records of the tables, each by a request."""
AGAIN_AFTER = (0.1, 5.0, 40.0)
"""s after which somebody starts a coordinator again."""


class Correction:
    """What somebody wants corrected. `plan` is None until it is made; `given_up`: none can be made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: CorrectionPlan | None = None
        self.applied = self.given_up = False
        self.failures: list[StreamsError] = []

    @property
    def is_over(self) -> bool:
        return self.applied or self.given_up

    @property
    def waits(self) -> bool:
        """Whether it has begun, and can end only later, since a timer has fired that it has put off."""
        return not self.is_over and bool(self.failures) and "once something was handled after that time" in str(self.failures[-1])


class Coordinator:
    """A process that plans and applies a correction with `clients`, by one request in each `step`."""

    def __init__(self, of: Correction, name: str, work: Callable[[Correction], None]) -> None:
        self.of, self.name = of, name
        self._thread = SteppedThread(lambda: work(of))
        self.still_until = 0.0
        self.kill, self.wait_for_turn = self._thread.kill, self._thread.wait_for_turn

    @property
    def done(self) -> bool:
        return self._thread.done

    def step(self, now: float, requests: int) -> None:
        if now >= self.still_until:
            self._thread.step(requests)

    def stand_still(self, until: float) -> None:
        """From the request on that it makes now."""
        self.still_until = until
        self._thread.pause()


class Coordinators:
    """Of `app`. `dice` decide; `change` makes what is corrected."""

    def __init__(
        self, app: App, codec: AvroCodec, partitions: int, trouble: Trouble, dice: random.Random, change: MakeChange
    ) -> None:
        self._app, self._codec, self._partitions, self._trouble = app, codec, partitions, trouble
        self._dice, self._change = dice, change
        self.corrections: list[Correction] = []
        self.at_work: dict[str, Coordinator] = {}
        self._begun = 0
        self._events: KnownEvents = {}
        self._later: list[tuple[float, Correction]] = []

    def begin(self) -> str:
        """Somebody wants something else corrected; returns who begins, in words."""
        self.corrections.append(Correction(f"put-in-{len(self.corrections)}"))
        return self._start(self.corrections[-1])

    def names(self) -> list[str]:
        """Who is at work."""
        now = self._trouble.broker.clock.monotonic()
        for it in [it for it in self._later if it[0] <= now]:
            self._later.remove(it)
            self._start(it[1])
        return [*self.at_work]

    def is_busy(self, *, may_wait: bool) -> bool:
        """Whether a correction is not at its end yet; if it `may_wait`, one that has to wait for a time is not."""
        return bool(self.at_work) or not all(it.is_over or (may_wait and self.waits) for it in self.corrections)

    @property
    def waits(self) -> bool:
        """Others do so, too, until it has ended."""
        return any(it.waits for it in self.corrections)

    def left_over(self) -> str:
        """In words, what is not applied."""
        return "; ".join(f"{it.name} is not applied: {it.failures[-1:]}" for it in self.corrections if not it.is_over)

    def step(self, name: str) -> None:
        coordinator = self.at_work[name]
        try:
            coordinator.step(self._trouble.broker.clock.monotonic(), self._dice.choice(AT_ONCE))
        except KeyboardInterrupt:
            self._trouble.tell(f"{name} is interrupted")
        except (HistoryError, InvalidChange, InvalidEvent) as error:
            self._failed(coordinator, error)
            coordinator.of.given_up = coordinator.of.plan is None and not isinstance(error, StalePlan)
        except StreamsError as error:
            self._failed(coordinator, error)
        if coordinator.done:
            self._ended(coordinator)

    def act(self, name: str, fault: Fault) -> None:
        """At a request of a coordinator. Raises KeyboardInterrupt in it, as Ctrl-C does."""
        if fault.kind == faults.PAUSE:  # somebody takes it for dead
            now, coordinator = self._trouble.broker.clock.monotonic(), self.at_work[name]
            coordinator.stand_still(now + STILL_UP_TO * fault.amount)
            self._later.append((now + AGAIN_AFTER[-1], coordinator.of))
        elif fault.kind == faults.RESTART:
            raise KeyboardInterrupt

    def end(self) -> None:
        for coordinator in self.at_work.values():
            coordinator.kill()

    def _failed(self, coordinator: Coordinator, error: StreamsError) -> None:
        coordinator.of.failures.append(error)
        self._trouble.tell(f"{coordinator.name} says: {error}")

    def _start(self, of: Correction) -> str:
        self._begun += 1
        name = f"coordinator-{self._begun}"
        self.at_work[name] = coordinator = Coordinator(of, name, lambda it: self._work(it, name))
        self._trouble.turns[name] = coordinator.wait_for_turn
        return f"{name} begins {of.name}"

    def _ended(self, coordinator: Coordinator) -> None:
        del self.at_work[coordinator.name], self._trouble.turns[coordinator.name]
        self._trouble.tell(f"{coordinator.name} has ended: {'applied' if coordinator.of.applied else 'not applied'}")
        if not coordinator.of.is_over:
            after = self._dice.choice(AGAIN_AFTER)
            self._later.append((self._trouble.broker.clock.monotonic() + after, coordinator.of))

    def _work(self, of: Correction, name: str) -> None:
        """Plan, if there is no plan yet, then apply, as the commands do."""
        clients, codec = unruly_clients(self._trouble, name), self._codec.copy()

        @contextmanager
        def recorded() -> Iterator[Past]:
            yield recorded_past(clients, self._app, codec, self._partitions, self._events)

        if of.plan is None:
            known = read_corrections(clients, "", self._app.name)
            log = recorded_past(clients, self._app, codec, self._partitions, self._events)
            so_far, handlers = CorrectedLog(log, [it.change.read(codec) for it in known]), ApplicationHandlers(self._app, codec)
            change = self._change(so_far.past(handlers), of.name)
            of.plan = plan_correction(so_far, handlers, change, "somebody", "a test")
        made = CorrectionCoordinator(clients, "", self._app, codec, recorded, name=name, largest=Limits().event_bytes)
        try:
            made.apply(of.plan)
        except StalePlan as error:
            if "Make another plan" in str(error):  # as a person does
                of.plan = None
            raise
        except HistoryError as error:
            if any(it.correction == of.plan.correction for it in read_corrections(clients, "", self._app.name)):
                raise
            of.plan = None  # the log has gone on since: it was not begun, and a person looks whether it can be made anew
            raise StalePlan(str(error)) from error
        of.applied = True


def recorded_past(
    clients: Clients, app: App, codec: AvroCodec, partitions: int, known: KnownEvents | None = None
) -> MemoryPast:
    """All that the logs have by now; what is `known` is not decoded again, and what is read is known then. Raises BrokerError."""
    known = {} if known is None else known
    wire, admin, consumer = WireFormat(codec, Limits()), clients.admin("retold-history"), clients.consumer("retold-history")
    spaces = {topic_names("", space.name).log: space.name for space in app.namespaces}

    def event(it: Message) -> RecordedEvent:
        topic, at, offset = it.topic() or "", it.partition() or 0, it.offset() or 0
        found = known.get((topic, at, offset))
        if found is None:
            found = known[topic, at, offset] = read_recorded(wire, spaces[topic], at, it.value() or b"", headers_of(it))
        return found

    with closing(consumer):
        there = [(topic, at) for topic in spaces for at in range(partitions)]
        spans = {at: (0, end) for at, end in ends(admin, there).items()}
        return MemoryPast(map(event, read_to(consumer, spans, clock=clients.clock)))
