"""How a branch differs from the past that it is a branch of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from streams.data import EventData, Record
from streams.event import Event
from streams.history.branch.branch_projections import NOTHING_FOLDED, ProjectionChanges
from streams.history.recorded_event import Place, RecordedEvent

WOULD_CALL, OTHERWISE, NOT, BEFORE = "would call", "would call otherwise", "would not call", "called before"
"""A gateway's call: that was never made, with other data, that would not have been made, whose answer is known from before."""
FIRES, FIRES_OTHERWISE, FIRES_NOT = "would fire", "would fire otherwise", "would not fire"
"""A timer."""
OUTCOME, REASON, DATA, TIME, PARKED, UNHANDLED = "outcome", "reason", "data", "time", "parked", "unhandled"
"""What of an event is otherwise; PARKED: its handler raises, or one before it of its key did; UNHANDLED: it has no handler."""
OUTCOMES = frozenset({UNHANDLED, PARKED, OUTCOME})
"""What is told first of what is otherwise."""
RAISES, EVENTS, ROW = "raises", "events", "row"
"""What a handler does otherwise, beside OUTCOME, REASON and UNHANDLED: it raises, emits other events, or leaves another row."""
UNTOLD = "untold"
"""What a handler of the code before does: it refuses an event that was accepted, so the row is not known from there on."""


class ChangedEvent(msgspec.Struct, frozen=True):
    """An event of both.

    Attributes:
        recorded: As the past has it.
        now: As the branch has it.
        what: What is otherwise: `data`, `time`, `outcome`, `reason`, or `parked` (its handler raises).

    """

    recorded: RecordedEvent
    now: RecordedEvent
    what: tuple[str, ...]


class RowChange(msgspec.Struct, frozen=True):
    """A row that is otherwise at the end.

    Attributes:
        place: Its namespace and key.
        before: The row in the past; None: there is none.
        after: The row in the branch; None: there is none.
        open: It waits for an answer that the branch has not got.

    """

    place: Place
    before: Record | None
    after: Record | None
    open: bool = False


class ViewChange(msgspec.Struct, frozen=True):
    """A view's answer at the end of both, as JSON has it; `path` is such as `orders-of/c7`."""

    path: str
    before: Any
    after: Any


class CallChange(msgspec.Struct, frozen=True):
    """A gateway's request that would be made, would be made otherwise, or would not.

    Attributes:
        kind: `would call`, `would call otherwise` (with other data), `would not call`, or `called before`: its answer is known,
            or was not there yet when the past was read.
        request: The request.

    """

    kind: str
    request: Event[Any]


class Origin(msgspec.Struct, frozen=True):
    """An event of which code makes something else, with nothing else changed: the same event and the same row before it.

    Attributes:
        kind: The first of `unhandled` (it has no handler), `raises`, `outcome`, `reason`, `events` and `row` that is otherwise.
        recorded: The event as it was recorded.
        now: The event as the other code has it.
        row_before: The row before it; None: there was none.
        row_then: The row behind it, as it was.
        row_now: The row behind it, as the other code leaves it.
        emitted_then: What it had led to and does not now, or not in this way.
        emitted_now: What it leads to instead.
        times_then: When each of `emitted_then` happened, or was to happen.
        times_now: When each of `emitted_now` does, or would.

    """

    kind: str
    recorded: RecordedEvent
    now: RecordedEvent
    row_before: Record | None
    row_then: Record | None
    row_now: Record | None
    emitted_then: tuple[EventData, ...] = ()
    emitted_now: tuple[EventData, ...] = ()
    times_then: tuple[datetime, ...] = ()
    times_now: tuple[datetime, ...] = ()


class RaisedEvent(msgspec.Struct, frozen=True):
    """An event whose handler raises in the branch: it and its key stand still there.

    Attributes:
        event: The event.
        error: What was raised, in a line.
        behind: It stands behind such an event of its key.

    """

    event: RecordedEvent
    error: str
    behind: bool = False


class UntoldRow(msgspec.Struct):
    """A row that the code which made the past cannot tell any more: it now refuses an event that it had accepted, or one is gone.

    From that event on nothing of the row is compared: what happened to it stands as it was recorded, unless `is_told`.

    Attributes:
        place: Its namespace and key.
        recorded: The event that is refused; None: one of the row's events was erased, or one of two pasts that were compared does
            not have all of them.
        why: How, in a sentence.
        events: How many events of the row are not decided again, from that one on, or from where the row was reached.
        is_told: Whether the branch tells it all the same, since it does not have that event, or has it with other data.
        after: The row in the branch, if it does; None: there is none.

    """

    place: Place
    recorded: RecordedEvent | None
    why: str
    events: int = 0
    is_told: bool = False
    after: Record | None = None


class TimerChange(msgspec.Struct, frozen=True):
    """A timer that had not fired at the end.

    Attributes:
        kind: `would fire`, `would fire otherwise` or `would not fire`.
        data: The event that it would become.
        before: When it is due in the past; None: it is not there.
        after: When it is due in the branch; None: it is not there.

    """

    kind: str
    data: EventData
    before: datetime | None = None
    after: datetime | None = None


class Difference(msgspec.Struct):
    """It is empty exactly if both histories are equal, as far as all of it can be told.

    Attributes:
        missing: Events that the past has and the branch has not.
        surplus: Events that the branch has and the past has not.
        changed: Events of both that are otherwise; first those with another outcome, or that are parked in only one of both.
        rows: Rows that are otherwise at the end.
        projections: Rows of projections that are, if they were compared.
        views: Answers of views that are, of those that were asked for.
        untold_views: By path, why a view's answer is not known.
        calls: What would be asked of gateways, or would not.
        origins: Where other code decides otherwise; all else follows from these.
        untold: Rows that the code which made the past cannot tell, from an event on that it refuses now.
        raised: Events whose handlers raise.
        open: Events that depend on an answer that the branch has not got. They are not in `missing`, `surplus` and `changed`.
        waiting: Requests whose answer the branch has not got.
        in_flight: References of events that were emitted, and not handled yet when the past was read.
        timers: Timers that are due after the end, and would be others.
        unchanged: How many events were decided again and are the same.
        decided: How many were decided.
        keys: How many rows the branch reached, and of which an event was decided.
        total: How many events the past has, without those that were skipped.
        skipped: How many events before them were not decided, in a replay of the last ones.
        open_recorded: How many of `open` the past has.
        not_compared: How many of the past's events are of rows in `untold`, and nothing else is known of them.
        parked: In a replay, how many events were parked when the past was read, and so are not in it; None: that was not asked.

    """

    missing: list[RecordedEvent] = msgspec.field(default_factory=list)
    surplus: list[RecordedEvent] = msgspec.field(default_factory=list)
    changed: list[ChangedEvent] = msgspec.field(default_factory=list)
    rows: list[RowChange] = msgspec.field(default_factory=list)
    projections: ProjectionChanges = NOTHING_FOLDED
    views: list[ViewChange] = msgspec.field(default_factory=list)
    untold_views: dict[str, str] = msgspec.field(default_factory=dict)
    calls: list[CallChange] = msgspec.field(default_factory=list)
    origins: list[Origin] = msgspec.field(default_factory=list)
    untold: list[UntoldRow] = msgspec.field(default_factory=list)
    raised: list[RaisedEvent] = msgspec.field(default_factory=list)
    open: list[RecordedEvent] = msgspec.field(default_factory=list)
    waiting: list[RecordedEvent] = msgspec.field(default_factory=list)
    in_flight: list[str] = msgspec.field(default_factory=list)
    timers: list[TimerChange] = msgspec.field(default_factory=list)
    unchanged: int = 0
    decided: int = 0
    keys: int = 0
    total: int = 0
    skipped: int = 0
    open_recorded: int = 0
    not_compared: int = 0
    parked: int | None = None

    def put_outcomes_first(self) -> None:
        """Of what changed, the events with another outcome, or that are parked in only one of both: rows follow from them.

        Otherwise in the order in which they are handled now; a branch finds what it has moved out of that order.
        """
        self.changed.sort(key=lambda it: (OUTCOMES.isdisjoint(it.what), it.now.order))

    @property
    def same(self) -> int:
        """How many of the past's events are the same in the branch."""
        return self.total - len(self.missing) - len(self.changed) - self.open_recorded - self.not_compared

    @property
    def is_empty(self) -> bool:
        """Whether both are equal, and all could be told."""
        return self.shows_nothing and not self.leaves_something_untold

    @property
    def leaves_something_untold(self) -> bool:
        """Whether a row, a projection or a view could not be told, so that it may be otherwise."""
        return bool(self.untold or self.projections.untold or self.untold_views)

    @property
    def shows_nothing(self) -> bool:
        """Whether both are equal as far as they can be told. A row that was another one only for a while is an origin alone."""
        events = (self.missing, self.surplus, self.changed, self.raised, self.open, self.origins)
        rows = (self.rows, self.projections.changes, self.views)
        return not any((*events, *rows, self.calls, self.timers))
