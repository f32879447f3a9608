"""The handlers of an application, for its past: what they made of an event, and what they make of it now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from copy import copy
from typing import Any, NamedTuple

import msgspec

from streams.app import App
from streams.data import Record
from streams.engine.event_handlers import EventHandler, EventHandlers, Limits
from streams.engine.readable import in_a_line, named, readable, shortened
from streams.engine.records import REASON_LIMIT, Codec, Entry
from streams.engine.times import to_micros
from streams.engine.wire_format import WireFormat
from streams.errors import CodeChanged, StreamsError
from streams.event import Event
from streams.history.code.recorded_row import RecordedRow
from streams.history.recorded_event import HANDLER, STEP, RecordedEvent
from streams.history.unread_event import why_undecided
from streams.outcome import Emission, Rejected, Scheduled


class DecidedEvent(msgspec.Struct, frozen=True, gc=False):
    """A handler's decision; with a `reason` the event was rejected, and the row stays. `row_bytes` are those of a new row."""

    row: Record | None
    emissions: Sequence[Emission] = ()
    reason: str | None = None
    row_bytes: bytes = b""


def timers_of(decided: DecidedEvent, codec: Codec) -> list[tuple[bytes, int]]:
    """Value and time (µs) of each timer that an event schedules, in the order of these."""
    timers = [it for it in decided.emissions if isinstance(it, Scheduled)]
    return sorted((codec.encode_frozen(it.data)[1], to_micros(it.at)) for it in timers)


class FoldedEvent(NamedTuple):
    """A row behind an event that was handled, and what the event emits.

    `row_bytes` are those of a row that a handler made, empty if it left none; None: no handler did.
    """

    entry: Entry
    emissions: Sequence[Emission] = ()
    row_bytes: bytes | None = None


class HandlerExit(Exception):
    """Instead of what a handler raised that is no Exception, such as SystemExit: it ends no command that asks the past."""


LISTS = frozenset({list, tuple})


def _listed(emit: Iterable[Emission]) -> Sequence[Emission]:
    return tuple(emit) if emit else ()


class HandledNow:
    """The event that a handler decides now, for another thread. What is made of the same handlers by `leaving` shares it."""

    event: Event[Any] | None = None


class ApplicationHandlers:
    """Decides events as a worker does, but keeps nothing."""

    def __init__(self, app: App, codec: Codec) -> None:
        self.app, self.codec = app, codec
        self.wire = WireFormat(codec, Limits())
        self.spaces = {space.name: EventHandlers(app, space.name) for space in app.namespaces}
        self._left: Set[str] = frozenset()
        self._row_of: Callable[[RecordedEvent], Entry] | None = None
        self.now = HandledNow()

    def leaving(self, events: Set[str]) -> ApplicationHandlers:
        """The same, for rows that were rebuilt: where these events are refused, though accepted, their rows stay as they were.

        They are named exactly. Of all others the row cannot be told from there on.
        """
        found = copy(self)
        found._left = events
        return found

    def telling(self, row_of: Callable[[RecordedEvent], Entry]) -> ApplicationHandlers:
        """The same, where `row_of` tells the row behind a step of a correction that code of another generation has made.

        It raises CodeChanged if it cannot.
        """
        found = copy(self)
        found._row_of = row_of
        return found

    def leaves(self, it: RecordedEvent) -> bool:
        """Whether it is one of these events."""
        return bool(self._left) and it.exact_name in self._left

    def handler_of(self, namespace: str, event: Event[Any]) -> EventHandler | None:
        space = self.spaces.get(namespace)
        return None if space is None else space.by_event.get(type(event.data))

    def decide(self, namespace: str, handler: EventHandler, row: Record | None, event: Event[Any]) -> DecidedEvent:
        """The row is frozen. Raises whatever the handler raises, except Rejected; what is no Exception as a HandlerExit.

        Emissions may be a generator, which gives them once: so they are listed here.
        """
        self.now.event = event
        try:
            try:
                outcome = self.spaces[namespace].decide(handler, row, event)
            except Rejected as no:
                emit = no.emit if type(no.emit) in LISTS else _listed(no.emit)
                return DecidedEvent(row, emit, readable(shortened(str(no.reason), REASON_LIMIT)))
            emit = outcome.emit if type(outcome.emit) in LISTS else _listed(outcome.emit)
            if outcome.row is None:
                return DecidedEvent(None, emit)
            new, value = self.codec.encode_frozen(outcome.row)
            return DecidedEvent(new, emit, None, value)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise HandlerExit(in_a_line(error)) from error
        finally:
            self.now.event = None

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        """A row after an event that was handled. What was accepted stays accepted, and what was rejected changes nothing.

        Raises CodeChanged if that is not possible with this code.
        """
        return self.fold_and_emit(entry, it).entry if it.accepted else entry

    def fold_and_emit(self, entry: Entry, it: RecordedEvent) -> FoldedEvent:
        """The same, with what the event emits; of one that its handler rejected, as far as it does so with this code, too."""
        try:
            return self._fold_and_emit(entry, it)
        except CodeChanged:
            if it.kind == STEP or it.exact_name not in self._left:
                raise
            return FoldedEvent(entry)

    def _fold_and_emit(self, entry: Entry, it: RecordedEvent) -> FoldedEvent:
        if it.kind == STEP:
            return FoldedEvent(self._step(it))
        if not it.accepted:
            return FoldedEvent(entry, self._emitted_by_rejection(entry[0], it))
        namespace = it.namespace
        handler = self.handler_of(namespace, it.event)
        if handler is None:
            why = why_undecided(it, self.app.name)
            raise CodeChanged(f"{_untold(it)}: {it.event_type} was accepted as {it.name}, and {why}")
        if handler.function is None:
            return FoldedEvent(entry)
        try:
            decided = self.decide(namespace, handler, entry[0], it.event)
        except Exception as error:
            raise now_raises(it, error) from error
        if decided.reason is not None:
            raise CodeChanged(
                f"{_untold(it)}: {it.event_type} was accepted as {it.name}, and its handler now rejects it ({decided.reason})"
            )
        return FoldedEvent((decided.row, it.version), decided.emissions, decided.row_bytes)

    def is_of_another_generation(self, step: RecordedEvent) -> bool:
        """Whether a correction's step set its row as code of another generation makes it; not of a namespace that is not here."""
        space = self.spaces.get(step.namespace)
        return space is not None and not step.event.data.is_of(space.generation)

    def _step(self, it: RecordedEvent) -> Entry:
        """The row that a correction has set. Raises CodeChanged if it is of another generation, or cannot be read here."""
        step, space = it.event.data, self.spaces.get(it.namespace)
        if space is None:
            raise CodeChanged(
                f"{_untold(it)}: a correction set it as {it.name}, and the application {self.app.name} has no such namespace"
            )
        if self.is_of_another_generation(it):
            if self._row_of is not None:
                return self._row_of(it)
            raise CodeChanged(
                f"{_untold(it)}: a correction set it as {it.name}, as code of generation {step.generation} makes it, and the "
                f"code here is of generation {space.generation}"
            )
        try:
            return step.row_of(self.codec, space.row_type), it.version
        except StreamsError as error:
            raise CodeChanged(f"{_untold(it)}: a correction set it as {it.name}, and that does not read here: {error}") from error

    def _emitted_by_rejection(self, row: Record | None, it: RecordedEvent) -> Sequence[Emission]:
        handler = self.handler_of(it.namespace, it.event)
        if it.by != HANDLER or handler is None or handler.function is None or not handler.emits:
            return ()
        try:
            decided = self.decide(it.namespace, handler, row, it.event)
        except Exception:  # noqa: BLE001 - whatever it is, the row stays, so this code can tell the past
            return ()
        return () if decided.reason is None else decided.emissions

    def fold_all(self, events: Iterable[RecordedEvent], entry: Entry = (None, 0)) -> Entry:
        """A row after all of these, as RecordedRow tells it. Raises CodeChanged."""
        row = RecordedRow(self.fold, entry)
        for it in events:
            row.take(it)
        return row.told()


def _untold(it: RecordedEvent) -> str:
    return f"the row {named(it.key)!r} of {it.namespace} cannot be told"


def now_raises(it: RecordedEvent, error: Exception) -> CodeChanged:
    """The error of a past whose event was handled, and whose handler raises now."""
    what = f"{_untold(it)}: {it.event_type} was accepted" if it.accepted else f"{it.event_type} was rejected"
    return CodeChanged(f"{what} as {it.name}, and its handler now raises {shortened(in_a_line(error), REASON_LIMIT)}")
