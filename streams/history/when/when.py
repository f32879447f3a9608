"""When something began to hold of a row, and when it ceased to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from streams.data import Record
from streams.engine.records import Entry
from streams.errors import BeforeHistory, CodeChanged, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.row_changes import FieldChange, row_changes
from streams.history.past import Past, erased_row, refuse_erased
from streams.history.recorded_event import Place, RecordedEvent
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


class Turns:
    """Looks at the events of a past in its order, one by one, and finds where a condition turns, for each key.

    With `untold`, a row that cannot be told is left out, from the event on where that shows, and noted there.
    """

    def __init__(self, condition: Condition, handlers: ApplicationHandlers, untold: UntoldRows | None = None) -> None:
        self._condition, self._handlers, self._untold = condition, handlers, untold
        self._rows: dict[str, Entry] = {}
        self._holds: dict[str, bool] = {}
        self.holds_at_first = _held(condition, None, None)
        """Whether it holds where there is no row."""
        self.looked_at = 0
        """Events."""

    def take(self, events: Iterable[RecordedEvent]) -> Iterator[Turn]:
        """Raises HistoryError for a row that cannot be folded, or of which the condition cannot be asked; it names the event."""
        for it in events:
            key = it.key
            if self._untold is not None and key in self._untold:
                continue
            self.looked_at += 1
            entry = self._rows.get(key, (None, 0))
            try:
                after = self._handlers.fold(entry, it)
            except CodeChanged as error:
                self._leave_out(key, error)
                continue
            self._rows[key] = after
            if after[0] is entry[0]:
                self._holds.setdefault(key, self.holds_at_first)
                continue
            holds = _held(self._condition, after[0], it)
            if holds != self._holds.get(key, self.holds_at_first):
                yield Turn(it, holds, entry[0], after[0])
            self._holds[key] = holds

    def _leave_out(self, key: str, error: CodeChanged) -> None:
        if self._untold is None:
            raise error
        self._untold.add(key, error)
        self._rows.pop(key, None)
        self._holds.pop(key, None)

    @property
    def holding(self) -> Sequence[str]:
        """The keys of which it holds now."""
        return [key for key, holds in self._holds.items() if holds]

    @property
    def keys(self) -> int:
        """How many keys there are whose rows can be told."""
        return len(self._rows)


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
