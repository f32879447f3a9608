"""When something began to hold of a row, and when it ceased to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from streams.data import Record
from streams.errors import BeforeHistory, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_row import RecordedRow
from streams.history.difference.row_changes import FieldChange, row_changes
from streams.history.past import Past, erased_row, refuse_erased
from streams.history.recorded_event import STEP, Place, RecordedEvent
from streams.history.untold_rows import UntoldRows
from streams.history.when.condition import Condition
from streams.history.when.predicate import PredicateFailed


class Turn(msgspec.Struct, frozen=True):
    """An event after which a condition holds that did not before, or the other way round.

    Attributes:
        event: The event.
        holds: Whether the condition holds from here on.
        before: The row before it; None: there was none.
        after: The row behind it; None: there was none.

    """

    event: RecordedEvent
    holds: bool
    before: Record | None
    after: Record | None

    @property
    def changes(self) -> Sequence[FieldChange]:
        """What the event changed in the row, field by field."""
        return row_changes(self.before, self.after)


class Gap(NamedTuple):
    """Where it is not known whether a condition held of a row: from an event that this code refuses to a correction's step."""

    since: RecordedEvent
    until: RecordedEvent
    why: str


class Turns:
    """Looks at the events of a past in its order, one by one, and finds where a condition turns, for each key.

    With `untold`, a row that cannot be told is left out, from the event on where that shows, and noted there; until a correction's
    step has set it whole, of which `gaps` tells.
    """

    def __init__(self, condition: Condition, handlers: ApplicationHandlers, untold: UntoldRows | None = None) -> None:
        self._condition, self._handlers, self._untold = condition, handlers, untold
        self._rows: dict[str, RecordedRow] = {}
        self._holds: dict[str, bool] = {}
        self.holds_at_first = _held(condition, None, None)
        """Whether it holds where there is no row."""
        self.looked_at = 0
        """Events."""
        self.gaps: list[Gap] = []
        """Of rows that are told again."""

    def take(self, events: Iterable[RecordedEvent]) -> Iterator[Turn]:
        """Raises HistoryError for a row that cannot be folded, or of which the condition cannot be asked; it names the event."""
        for it in events:
            row = self._row(it)
            if row is None:
                continue
            self.looked_at += 1
            before, holds = row.entry[0], self._holds.get(it.key, self.holds_at_first)
            if not self._is_told(row, it):
                continue
            after = row.entry[0]
            self._holds[it.key] = now = holds if after is before else _held(self._condition, after, it)
            if now != holds:
                yield Turn(it, now, before, after)
        if self._untold is None:
            for row in self._rows.values():
                row.told()

    def _row(self, it: RecordedEvent) -> RecordedRow | None:
        """As it is before an event; None: the event tells nothing of it."""
        if (row := self._rows.get(it.key)) is not None:
            return row if row.untold is None or it.kind == STEP else None
        if self._untold is not None and it.key in self._untold:
            return None
        return self._rows.setdefault(it.key, RecordedRow(self._handlers.fold))

    def _is_told(self, row: RecordedRow, it: RecordedEvent) -> bool:
        """Take a row one event further. What it was before is not known where it is told again: it is as it was told last."""
        refused, why = row.refused, row.untold
        row.take(it)
        if row.untold is not None and self._untold is not None:
            self._untold.add(it.key, row.untold)
        elif row.untold is None and refused is not None and why is not None:
            self.gaps.append(Gap(refused, it, why.why))
            if self._untold is not None:
                self._untold.discard(it.key)
        return row.untold is None

    @property
    def holding(self) -> Sequence[str]:
        """The keys of which it holds now."""
        return [key for key, holds in self._holds.items() if holds and self._rows[key].untold is None]

    @property
    def keys(self) -> int:
        """How many keys there are whose rows can be told."""
        return sum(row.untold is None for row in self._rows.values())


def events_before_gone(past: Past, place: Place) -> tuple[Sequence[RecordedEvent], BeforeHistory | None]:
    """The events of a row up to the first that was erased, and why those behind it cannot be told; None: all are there.

    Raises BeforeHistory for a row whose first events are not kept.
    """
    gone = past.first_erased(place)
    if gone is None or gone.is_old:
        return events_told(past, place), None
    events = [it for it in past.key_events(place) if it.order.sequence < gone.sequence]
    return events, erased_row(past, place)


def events_told(past: Past, place: Place) -> Sequence[RecordedEvent]:
    """Those of one row. Raises HistoryError if one of them was erased: what holds of the row behind it is not known."""
    refuse_erased(past, place)
    return past.key_events(place)


def _held(condition: Condition, row: Record | None, it: RecordedEvent | None) -> bool:
    try:
        return condition.holds(row)
    except PredicateFailed as error:
        where = "of a key without a row" if it is None else f"after {it.name} ({it.event_type} {it.key!r:.80})"
        raise HistoryError(
            f"the condition {condition.text!r:.300} cannot be asked {where}: {error}. `and` in front of it can leave such rows "
            "out, as in `due is not None and due < '2026-01-31T12:00:00Z'`"
        ) from error
