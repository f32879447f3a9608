"""A World: an application in memory, on the engine that a worker runs, one partition a namespace."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from streams.app import App
from streams.codec import codec_of
from streams.data import EventData, Record
from streams.engine.attributes import time_text
from streams.engine.pending import FiringLimit
from streams.engine.readable import harmless
from streams.engine.records import Headers
from streams.engine.times import checked_time, to_micros
from streams.event import Event
from streams.testing.correctable_world import CorrectableWorld
from streams.testing.journal import Journal
from streams.testing.memory_application import MemoryApplication
from streams.testing.results import Result, outcome_of
from streams.testing.world_io import Answers, answering, headers_of

Parked = Literal["raise", "allow"]
START = datetime(2026, 1, 1, 0, 0, 0, 123_457, tzinfo=UTC)
ALL = FiringLimit(2**63, 2**63)
R = TypeVar("R", bound=Record)
D = TypeVar("D", bound=EventData)


def event(data: D, *, time: datetime = START, id: str = "e1") -> Event[D]:
    """An event around data, for a test that calls a handler, which is a plain function.

    For instance: `open_account(None, event(AccountOpen(account="a", balance=1)))`.

    Args:
        data: The event's data.
        time: When it happened, with a zone.
        id: The event's id.

    """
    return Event(data, id, time, None, id)


class World(CorrectableWorld):
    """An application in memory, on the engine and the codec that a worker has. Each namespace has one partition.

    Time stands still until `advance`, and what was emitted waits until `settle`. Gateways are called at once, with their
    real functions: give the application others, or `answers`.

    Args:
        app: The application.
        answers: What gateways answer to a request, as a function of its Event, so that none is called; None from it: that call
            fails. None: they are called.

    Attributes:
        app (App): The application.
        now (datetime): The time it is; `START` in the beginning.
        calls: The requests that gateways were called with, in order.
        calls_failed: The requests whose call raised, or answered what it may not. They are parked.
        rejections: The events that handlers rejected, with their reasons.
        parked: The events that were parked: their handler raised, or their key is parked.
        quarantined: The records that nobody can use.
        outside: What was emitted to namespaces of other applications.
        steps: All that was handled, for `purity_probe`.

    """

    def __init__(self, app: App, *, answers: Answers | None = None) -> None:
        app = app if answers is None else answering(app, answers)
        self._codec = codec_of(app)
        self._seen = seen = Journal(self._codec)
        super().__init__(app, MemoryApplication(app, self._codec, seen, START))
        self.calls, self.calls_failed, self.rejections = seen.calls, seen.calls_failed, seen.rejections
        self.parked, self.quarantined, self.outside, self.steps = seen.parked, seen.quarantined, seen.outside, seen.steps

    @property
    def now(self) -> datetime:
        """The time it is."""
        return self._run.now

    @now.setter
    def now(self, time: datetime) -> None:
        self._run.now = time

    def when(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str = "test",
    ) -> Result:
        """Publish an event and handle it, after whatever waits in its namespace's inbox. What it emits waits for `settle`.

        Args:
            data: The event's data.
            id: The event's id; None: a new one.
            time: When it happened, with a zone; None: `now`.
            expected_version: The version that its row must have; 0: there must be no row. None: any.
            source: Who publishes it. One id from two sources names two events.

        Raises:
            InvalidEvent: The event may not be published as it is.
            DefinitionError: The application does not have its namespace.

        """
        space = self._run.space(data.event_type)
        headers = headers_of(data, id or f"when-{self._run.arrivals + 1}", source, time_text(self.now if time is None else time))
        if expected_version is not None:
            headers.append(("ce_expectedversion", b"%d" % expected_version))
        offset = self.publish(space.name, data.key.encode(), self._codec.encode(data), headers)
        while space.blocked is None:
            changes, emitted = self._run.take(space, offset)
            if changes.inbox_next > offset:
                row, version = space.entry(data.key)
                handled = next(it for it in changes.results if it.offset == offset)
                return Result(*outcome_of(handled), row, emitted, version)
        row, version = space.entry(data.key)
        return Result("blocked", False, space.blocked, row, [], version)

    def publish(self, namespace: str, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> int:
        """Put raw bytes into an inbox, as any Kafka producer may. `settle` handles them.

        Args:
            namespace: The namespace's name.
            key: The record's key.
            value: The record's value; `encode` gives that of an event.
            headers: The record's headers, pairs of name and value; None: there are none.

        Returns:
            The record's offset in the inbox.

        Raises:
            DefinitionError: The application does not have this namespace.

        """
        return self._run.publish(namespace, key, value, headers)

    def encode(self, data: EventData) -> bytes:
        """The value of an event's record, for `publish`: Avro behind a schema id, in Confluent's wire format.

        Args:
            data: The event's data.

        Raises:
            InvalidEvent: The event may not be published as it is.

        """
        return self._codec.encode(data)

    def settle(self, *, parked: Parked = "raise") -> World:
        """Handle what was emitted, and what that emits, in the order of arrival, until nothing is left.

        Args:
            parked: What to do if an event is parked meanwhile: "raise", or "allow" it and look at `world.parked`. A request
                whose gateway fails is in `world.calls_failed` in any case.

        Returns:
            The world itself.

        Raises:
            AssertionError: An event was parked. The message has its handler's traceback.

        """
        before = self._seen.count_parked(parked)
        self._run.settle()
        self._seen.assert_none_parked(before, parked)
        return self

    def advance(self, by: timedelta, *, parked: Parked = "raise") -> World:
        """Let time pass: what was scheduled comes due in order, and each settles before the next.

        By nothing, `advance(timedelta(0))`, what is due fires; `settle` fires nothing.

        Args:
            by: How long.
            parked: As for `settle`.

        Returns:
            The world itself.

        Raises:
            ValueError: `by` is negative, or leads beyond the year 9999.
            AssertionError: As for `settle`. The time is `by` later then.

        """
        before = self._seen.count_parked(parked)
        if by < timedelta(0):
            raise ValueError(f"time goes forward only; {by} is negative")
        try:
            end = self.now + by
        except OverflowError:
            raise ValueError(f"it is {self.now}; {by} later no datetime can say when it is") from None
        self._run.fire_until(to_micros(end))
        self._run.now = end
        self._seen.assert_none_parked(before, parked)
        return self

    def play(self, events: Iterable[tuple[EventData, datetime]], *, parked: Parked = "raise") -> World:
        """Let events happen that have happened before, each at its time: past ones, as an import with its own clock does.

        They are handled in the order of their times. Before each, the timers that are due before it fire in order, and all settles.
        Timers that are due after the last event are left to `advance`: `advance(timedelta(0))` fires what is due by now.

        Args:
            events: The events' data with their times, each with a zone. Of one time, the order stays.
            parked: As for `settle`.

        Returns:
            The world itself. An event later than `now` takes the time along.

        Raises:
            InvalidEvent: One of them may not be published as it is. Those before it are handled.
            DefinitionError: The application does not have the namespace of one.
            AssertionError: As for `settle`.

        """
        before = self._seen.count_parked(parked)
        self._run.settle()
        for data, time in sorted(events, key=lambda it: checked_time(f"the time of {it[0].event_type} is", it[1])):
            self._run.fire_until(to_micros(time) - 1)
            self._run.now = max(self.now, time)
            self.when(data, time=time)
            self._run.settle()
        self._seen.assert_none_parked(before, parked)
        return self


def given(app: App, *history: EventData) -> World:
    """The application in memory, after a history and all that followed from it.

    Args:
        app: The application.
        history: Events, each handled and settled before the next.

    Raises:
        AssertionError: One of them was not accepted.
        InvalidEvent: One of them may not be published as it is.
        DefinitionError: The application does not have the namespace of one.

    """
    world = World(app)
    for data in history:
        result = world.when(data)
        if not result.accepted:
            raise AssertionError(harmless(f"given {data!r}: it was {result.outcome}, {result.reason}"))
        world.settle()
    return world
