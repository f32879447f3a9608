"""A World: an application in memory, on the engine that a worker runs, one partition a namespace."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData, Record, namespace_of
from streams.engine.attributes import time_text
from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import Changes, PendingCall, SetAsideRecord
from streams.engine.engine import Engine
from streams.engine.envelope import checked_time, from_micros, to_micros
from streams.engine.fold import LoggedEvent
from streams.engine.image import Image
from streams.engine.pending import FiringLimit
from streams.engine.projector import Projector
from streams.engine.readable import harmless
from streams.engine.records import NO_OFFSET, PARKED, REJECTED, EmittedRecord, Headers, LogRecord
from streams.engine.stored import log_record
from streams.errors import DefinitionError
from streams.event import Event
from streams.namespace import Namespace
from streams.outcome import Emission, Scheduled
from streams.projection import Projection
from streams.testing.codecs import codec_for, foreign_codec
from streams.testing.results import FailedCall, Result, Step, Unhandled, outcome_of
from streams.testing.space import Space
from streams.testing.world_io import ask, headers_of
from streams.view import Table, Tables

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


class World:
    """An application in memory, on the engine and the codec that a worker has. Each namespace has one partition.

    Time stands still until `advance`, and what was emitted waits until `settle`. Gateways are called at once, with their
    real functions: give the application others.

    Args:
        app: The application.

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

    def __init__(self, app: App) -> None:
        self.app, self.now = app, START
        self.calls: list[EventData] = []
        self.calls_failed: list[FailedCall] = []
        self.rejections: list[tuple[EventData, str]] = []
        self.parked: list[Unhandled] = []
        self.quarantined: list[Unhandled] = []
        self.outside: list[EventData] = []
        self.steps: list[Step] = []
        self._events_parked: list[Unhandled] = []
        """As `parked`, without requests whose gateway failed."""
        self._codec = codec_for(app)
        self._foreign: AvroCodec | None = None
        self._projecting = Projector(app.projections, self._codec)
        self._gateways = {gateway.data: gateway for gateway in app.gateways}
        self._spaces = {part.name: Space(Engine(app, part.name, self._codec)) for part in app.namespaces}
        self._arrivals = 0

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
        space = self._space(data.event_type)
        headers = headers_of(data, id or f"when-{self._arrivals + 1}", source, time_text(self.now if time is None else time))
        if expected_version is not None:
            headers.append(("ce_expectedversion", b"%d" % expected_version))
        offset = self.publish(space.name, data.key.encode(), self._codec.encode(data), headers)
        while space.blocked is None:
            changes, emitted = self._take(space, offset)
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
        self._arrivals += 1
        return self._space(namespace).put(self._arrivals, key, value, headers, to_micros(self.now))

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
        before = self._count_parked(parked)
        self._settle()
        self._assert_none_parked(before, parked)
        return self

    def _settle(self) -> None:
        while ready := [space for space in self._spaces.values() if space.ready()]:
            self._take(min(ready, key=lambda space: space.inbox[0][0]))

    def _count_parked(self, parked: str) -> int:
        if parked not in ("raise", "allow"):
            raise ValueError(f'parked is {parked!r}; "raise" or "allow" was expected')
        return len(self._events_parked)

    def _assert_none_parked(self, before: int, parked: str) -> None:
        """Raises AssertionError with the first event that was parked since there were `before`."""
        new = self._events_parked[before:]
        if parked == "allow" or not new:
            return
        first = new[0]
        detail = first.detail or next((it.detail for it in self.parked if it.key == first.key and it.detail), "")
        what = f"{first.data.event_type} of {first.key!r}" if first.data is not None else f"an event of {first.key!r}"
        more = f", and {len(new) - 1} more" if len(new) > 1 else ""
        text = (
            f"{what} was parked{more}: {first.reason}. If the test expects that, settle(parked=\"allow\") and advance(…, "
            f"parked=\"allow\") let it pass.\n{detail}"
        )
        raise AssertionError(harmless(text.rstrip()))  # pytest writes it to a terminal as it is

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
        before = self._count_parked(parked)
        if by < timedelta(0):
            raise ValueError(f"time goes forward only; {by} is negative")
        try:
            end = self.now + by
        except OverflowError:
            raise ValueError(f"it is {self.now}; {by} later no datetime can say when it is") from None
        self._fire_until(to_micros(end))
        self.now = end
        self._assert_none_parked(before, parked)
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
        before = self._count_parked(parked)
        self._settle()
        for data, time in sorted(events, key=lambda it: checked_time(f"the time of {it[0].event_type} is", it[1])):
            self._fire_until(to_micros(time) - 1)
            self.now = max(self.now, time)
            self.when(data, time=time)
            self._settle()
        self._assert_none_parked(before, parked)
        return self

    def _fire_until(self, end: int) -> None:
        """Fire what is due by `end` (µs), from one due time to the next; each settles before the next."""
        while (at := min((at for space in self._free() if (at := _next_due(space)) is not None), default=end + 1)) <= end:
            due = [space for space in self._free() if (first := _next_due(space)) is not None and first <= at]
            if any(space.inbox for space in due):  # the clock fires only where an inbox is read to its end
                self._settle()
                continue
            self.now = max(self.now, from_micros(at))
            now = to_micros(self.now)
            for space in due:
                if (changes := space.fire(at, now)) is not None:
                    self._made_true(space, Step(space.name, now, None, changes, at))
            self._settle()

    def _free(self) -> list[Space]:
        return [space for space in self._spaces.values() if space.blocked is None]

    def _make_true(self, space: Space, changes: Changes) -> None:
        """Apply changes that come from no inbox record, and deliver their emissions."""
        space.image.apply(changes)
        self._note(changes)
        for emitted in changes.emitted:
            self._deliver(emitted)

    @property
    def tables(self) -> Tables:
        """All tables, of namespaces and of projections."""
        return Tables({name: space.rows() for name, space in self._spaces.items()} | self._projecting.rows)

    def table(self, source: Namespace[R] | Projection[R]) -> Table[R]:
        """The table of a namespace or projection, with rows of its class: `world.table(user)["u1"].email`.

        Args:
            source: The namespace or projection itself.

        """
        return self.tables.of(source)

    def view(self, path: str) -> Any:
        """A view's answer: `world.view("orders-of/c7")`.

        Args:
            path: The view's path, with values in place of the names in braces.

        Returns:
            What the view's function returned. The type checker takes it for Any, since a path is a text.

        Raises:
            DefinitionError: There is no such view. The message names those that there are.

        """
        for view in self.app.views:
            if (names := view.match(path)) is not None:
                return view.answer(self.tables, **names)
        known = ", ".join(view.path for view in self.app.views) or "none"
        raise DefinitionError(f"{self.app.name} has no view {path!r}; it has: {known}")

    def log(self, namespace: str) -> list[LoggedEvent]:
        """The event log of a namespace, in order: each has `event`, and `header` with `sequence`, `outcome` and `reason`.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return self._space(namespace).logged()

    def log_records(self, namespace: str) -> list[LogRecord]:
        """The same as records: key, value and headers, in bytes.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return [log_record(it) for it in self._space(namespace).log]

    def image(self, namespace: str) -> Image:
        """The state that the engine works on, for tests of retold itself.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return self._space(namespace).image

    @property
    def blocked(self) -> dict[str, str]:
        """The names of the namespaces that are blocked because a schema or a handler is missing, with the reasons."""
        return {name: space.blocked for name, space in self._spaces.items() if space.blocked is not None}

    def _space(self, event_type: str) -> Space:
        return self._spaces[self.app.namespace(namespace_of(event_type)).name]

    def _take(self, space: Space, offset: int = NO_OFFSET) -> tuple[Changes, list[Emission]]:
        """Handle the first record of an inbox, and deliver its emissions and calls.

        Returns what the record at `offset` emitted, and not a timer before it.
        """
        now = to_micros(self.now)
        record, changes = space.take(now)
        return changes, self._made_true(space, Step(space.name, now, record, changes), offset)

    def _made_true(self, space: Space, step: Step, offset: int = NO_OFFSET) -> list[Emission]:
        """Note and fold what was handled, and deliver its emissions and calls."""
        changes = step.changes
        if changes.handled:
            self.steps.append(step)
        self._note(changes)
        for accepted in changes.accepted:
            self._projecting.fold(accepted)
        return self._let_go(space, changes, offset)

    def _note(self, changes: Changes) -> None:
        for handled in changes.log:
            if handled.outcome == REJECTED and handled.event is not None:
                self.rejections.append((handled.event.data, handled.reason or ""))
        for aside in changes.set_aside:
            unhandled = self._unhandled(aside)
            (self.quarantined if aside.entity is None else self.parked).append(unhandled)
            if aside.header.status == PARKED:
                self._events_parked.append(unhandled)

    def _unhandled(self, aside: SetAsideRecord) -> Unhandled:
        header = aside.header
        data = None if aside.entity is None else self._codec.decode(aside.value)
        return Unhandled(data, aside.entity, header.reason, header.detail, aside.value)

    def _let_go(self, space: Space, changes: Changes, offset: int) -> list[Emission]:
        """Deliver emissions to inboxes and call gateways; timers wait in the image. Returns what the record at `offset` led to."""
        own = [handled for handled in changes.results if handled.offset == offset]
        gone = [emission for handled in own for emission in handled.emissions]
        gone.sort(key=lambda it: isinstance(it, Scheduled))
        for emitted in changes.emitted:
            self._deliver(emitted)
        for reference, call in changes.calls.items():
            if reference not in space.image.calls:
                continue  # answered in the same step, or behind one of its key that was just given up
            answered = self._call(space, call)
            if call.offset == offset:
                gone += answered
        return gone

    def _deliver(self, emitted: EmittedRecord) -> None:
        if emitted.namespace in self._spaces:
            self.publish(emitted.namespace, emitted.key, emitted.value, emitted.headers)
        else:
            self._foreign = self._foreign or foreign_codec(self.app)
            self.outside.append(self._foreign.decode(emitted.value))

    def _call(self, space: Space, call: PendingCall) -> list[EventData]:
        """Call the gateway and publish its answer; a failed call is parked with its key, for an operator."""
        request = call.event.data
        batch = space.engine.begin(space.image, to_micros(self.now))
        self.calls.append(request)
        given: list[EventData] = []
        try:
            answer = ask(self._gateways[type(request)], call.event)
            batch.answer(CallAnswer(call, answer))
            given.append(answer)
        except KeyboardInterrupt:  # Ctrl-C
            raise
        except BaseException as error:  # noqa: BLE001 - the outside world may fail in any way
            reason = f"{type(error).__name__}: {error}"
            self.calls_failed.append(FailedCall(request, reason))
            batch.answer(CallGivenUp(call, reason))
        self._make_true(space, batch.changes)
        return given


def _next_due(space: Space) -> int | None:
    """When the next timer fires, in µs since 1970, leaving out those of parked keys."""
    return next((timer.at for timer in space.image.due.until(ALL) if timer.owner not in space.image.parked), None)


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
