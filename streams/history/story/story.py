"""The story of an event or of a row: what led to it, what followed, and what each step made of the rows."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from streams.data import Record
from streams.engine.records import Entry
from streams.errors import CodeChanged, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_row import RecordedRow
from streams.history.difference.row_changes import FieldChange, row_changes
from streams.history.past import ErasedEvent, cause_of
from streams.history.recorded_event import ANSWER, OrderKey, Place, RecordedEvent
from streams.history.story.event_corrections import NOTHING_CORRECTED, EventCorrection, EventCorrections
from streams.history.story.waiting import Waiting, WaitingEvent

DEPTH, DEPTH_OF_ROW, LAST = 10, 1, 20
"""What is told unless somebody asks otherwise: levels below an event, levels below each event of a row, and a row's last events."""
DEEPEST, MOST_LAST = 1_000, 200
"""The most levels, and the most of a row's last events, that may be asked for."""
STEPS = 200
"""The most events of a story."""
CAUSES = 1_000
"""The most causes that are followed up: a chain of emissions is at most 100 long, and timers begin it anew."""
WAITING = 50
"""The most that is told of what waits for a row."""
CREATED, CHANGED, DELETED, UNCHANGED, UNKNOWN = "created", "changed", "deleted", "unchanged", "unknown"


class ToldPast(Protocol):
    """What a story asks of a Past."""

    def key_events(self, place: Place) -> Sequence[RecordedEvent]: ...

    def first_erased(self, place: Place) -> ErasedEvent | None: ...

    def find_all(self, reference: str) -> Sequence[RecordedEvent]: ...

    def effects(self, reference: str) -> Sequence[RecordedEvent]: ...


class StoryStep(msgspec.Struct):
    """One event of a story.

    Attributes:
        event: The event.
        before: Its row before it; None: there was none.
        after: Its row behind it; None: there was none.
        unknown: Why the row cannot be told; None: it can.
        effects: What it led to, as far as that is told.
        left_out: How many others it led to.
        waits: What it led to that is not handled yet.
        cause: What led to it, where the step begins a part of a story.
        corrections: What corrections have done to it, by whom and why, in their order.

    """

    event: RecordedEvent
    before: Record | None = None
    after: Record | None = None
    unknown: str | None = None
    effects: list[StoryStep] = []
    left_out: int = 0
    waits: Sequence[WaitingEvent] = ()
    cause: RecordedEvent | None = None
    corrections: Sequence[EventCorrection] = ()

    @property
    def row_is(self) -> str:
        """What became of its row: `created`, `changed`, `deleted`, `unchanged` or `unknown`."""
        if self.unknown is not None:
            return UNKNOWN
        if self.before == self.after:
            return UNCHANGED
        return CREATED if self.before is None else DELETED if self.after is None else CHANGED

    @property
    def changes(self) -> Sequence[FieldChange]:
        """What it changed in its row, field by field."""
        return row_changes(self.before, self.after) if self.row_is in (CREATED, CHANGED) else ()


class Story(msgspec.Struct):
    """The story of an event.

    Attributes:
        causes: What led to it, from the root down to its own cause.
        step: The event, with all that followed.
        lost: The reference of a cause that this past does not have; None: it has all.

    """

    causes: Sequence[StoryStep]
    step: StoryStep
    lost: str | None = None


class KeyStory(msgspec.Struct):
    """The story of a row.

    Attributes:
        place: Its namespace and key.
        earlier: How many events are left out.
        steps: Its last events, the oldest first.
        row: The row as it is; None: there is none.
        version: The row's version.
        unknown: Why the row cannot be told; None: it can.
        waits: What waits for it: timers, calls, parked events.

    """

    place: Place
    earlier: int
    steps: Sequence[StoryStep]
    row: Record | None
    version: int
    unknown: str | None
    waits: Sequence[WaitingEvent]


class Storyteller:
    """Tells stories of one past, with an application's handlers, which fold its rows."""

    def __init__(
        self, past: ToldPast, handlers: ApplicationHandlers, waiting: Waiting, corrections: EventCorrections = NOTHING_CORRECTED
    ) -> None:
        self._past, self._handlers, self._waiting, self._corrections = past, handlers, waiting, corrections
        self._called = {gateway.data.event_type for gateway in handlers.app.gateways}

    def of_event(self, it: RecordedEvent, depth: int) -> Story:
        """With its consequences, `depth` levels down."""
        causes, lost = self._causes(it)
        path = [StoryStep(cause, left_out=len(self._past.effects(cause.reference)) - 1) for cause in causes]
        step = StoryStep(it)
        steps = [*path, *self._grow([step], depth)]
        self._fold(steps)
        return Story(path, step, lost)

    def of_key(self, place: Place, depth: int, last: int) -> KeyStory | None:
        """Its last events, each with its consequences, `depth` levels down. None: this past has no event of it, nor waits any."""
        events, waits = self._past.key_events(place), self._waiting.of_key(place, WAITING)
        if not events:
            return KeyStory(place, 0, [], None, 0, None, waits) if waits else None
        told = events[-last:] if last else []
        steps = [StoryStep(it, cause=cause_of(self._past, it)) for it in told]
        (row, version), unknown = self._fold(self._grow(steps, depth), place)[place]
        return KeyStory(place, len(events) - len(told), steps, row, version, unknown, waits)

    def _causes(self, it: RecordedEvent) -> tuple[list[RecordedEvent], str | None]:
        """From the root down; and the reference of the first one that is not there."""
        found: list[RecordedEvent] = []
        while it.cause is not None and len(found) < CAUSES:
            cause = cause_of(self._past, it)
            if cause is None:
                return found[::-1], it.cause
            found.append(cause)
            it = cause
        return found[::-1], None

    def _grow(self, begin: Sequence[StoryStep], depth: int) -> list[StoryStep]:
        """Add what followed, level by level, so that a limit cuts off what is farthest. Returns all steps."""
        told, level = list(begin), deque((step, 0) for step in begin)
        while level:
            step, at = level.popleft()
            effects = self._past.effects(step.event.reference)
            room = max(0, STEPS - len(told)) if at < depth else 0
            step.effects = [StoryStep(it) for it in effects[:room]]
            step.left_out = len(effects) - len(step.effects)
            step.waits = self._waits(step.event, effects)
            told += step.effects
            level.extend((effect, at + 1) for effect in step.effects)
        return told

    def _waits(self, it: RecordedEvent, effects: Iterable[RecordedEvent]) -> Sequence[WaitingEvent]:
        waits = [*self._waiting.caused_by(it.reference)]
        if it.event_type in self._called and not any(effect.kind == ANSWER for effect in effects):
            call = self._waiting.request(it)
            waits += [] if call is None else [call]
        return waits

    def _fold(self, steps: Sequence[StoryStep], *more: Place) -> dict[Place, tuple[Entry, str | None]]:
        """Tell each step its row before and after, and what was corrected. Returns the rows of `more` after their last event.

        Each key is folded once, up to the last event that is needed.
        """
        wanted: dict[Place, dict[OrderKey, list[StoryStep]]] = defaultdict(lambda: defaultdict(list))
        for step in steps:
            step.corrections = self._corrections.of(step.event)
            wanted[step.event.place][step.event.order].append(step)
        found: dict[Place, tuple[Entry, str | None]] = {}
        for place in [*wanted, *(place for place in more if place not in wanted)]:
            last = None if place in more else max(wanted[place])
            erased = self._past.first_erased(place)
            found[place] = self._fold_key(self._past.key_events(place), last, erased, wanted[place].get)
        return found

    def _fold_key(
        self,
        events: Sequence[RecordedEvent],
        last: OrderKey | None,
        erased: ErasedEvent | None,
        steps_at: Callable[[OrderKey], list[StoryStep] | None],
    ) -> tuple[Entry, str | None]:
        row, gone = RecordedRow(self._told), None
        for it in events:
            if last is not None and it.order > last:
                break
            if gone is None and erased is not None and erased.sequence < it.order.sequence:
                gone = _why(row) or erased.sentence
            before, unknown = row.entry, gone or _why(row)
            if gone is None:
                row.take(it)
            for step in steps_at(it.order) or ():
                step.unknown = unknown or _why(row)
                if step.unknown is None:
                    step.before, step.after = before[0], row.entry[0]
        if erased is not None and last is None:
            gone = gone or _why(row) or erased.sentence
        unknown = gone or _why(row)
        return ((None, 0), unknown) if unknown else (row.entry, None)

    def _told(self, entry: Entry, it: RecordedEvent) -> Entry:
        """Whatever a row cannot be told for, the rest of a story is told."""
        try:
            return self._handlers.fold(entry, it)
        except CodeChanged:
            raise
        except HistoryError as error:
            raise CodeChanged(str(error)) from error


def _why(row: RecordedRow) -> str | None:
    return None if row.untold is None else row.untold.why
