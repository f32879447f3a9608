"""What a branch has found: its own events, and how they differ from the past."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from streams.data import EventData
from streams.errors import HistoryError
from streams.event import Event
from streams.history.branch.branch_decision import changes
from streams.history.branch.branch_rows import BranchRow
from streams.history.difference import difference
from streams.history.difference.difference import (
    BEFORE,
    NOT,
    CallChange,
    ChangedEvent,
    Difference,
    RaisedEvent,
    RowChange,
    TimerChange,
    UntoldRow,
)
from streams.history.recorded_event import Place, RecordedEvent

LEAST_LIMIT = 10_000


class BranchFindings:
    """`total` is the number of the past's events; `limit` that of those that may be decided."""

    def __init__(self, total: int, limit: int | None) -> None:
        self.found = Difference(total=total)
        self.timeline: list[RecordedEvent] = []
        self.parked: list[RecordedEvent] = []
        self.unanswered: set[str] = set()
        """References of requests."""
        self.assumed: dict[str, EventData] = {}
        """Data of requests whose answers were recorded to other data, by the request's reference."""
        self.keep = True
        """Whether the branch's own events go into the timeline."""
        self._limit = max(LEAST_LIMIT, 10 * total) if limit is None else limit
        self._moved: set[str] = set()
        """References of timers that are told already."""
        self._open: set[str] = set()
        """Events that depend on an answer that is not known."""
        self._untold: set[Place] = set()
        """Rows that are told to be untold."""
        self._recent: deque[str] = deque(maxlen=100)

    def is_open(self, row: BranchRow, cause: str | None) -> bool:
        row.open = row.open or cause in self._open
        return row.open

    @property
    def has_open(self) -> bool:
        """Whether any event depends on an answer that is not known."""
        return bool(self._open)

    def repeat(self, was: RecordedEvent) -> None:
        """An event was decided, and is as it was. Raises HistoryError for one too many."""
        found = self.found
        found.decided += 1
        found.unchanged += 1
        self._recent.append(was.event.data.event_type)
        if found.decided > self._limit:
            raise self._endless()
        if self.keep:
            self.timeline.append(was if was.high is None else replace(was, high=None, latest=None))

    def count(self, event: Event[Any]) -> None:
        """Raises HistoryError for one too many."""
        self.found.decided += 1
        self._recent.append(event.data.event_type)
        if self.found.decided > self._limit:
            raise self._endless()

    def _endless(self) -> HistoryError:
        types = ", ".join(name for name, _ in Counter(self._recent).most_common(5))
        return HistoryError(
            f"the branch does not end: {self._limit:,} events were decided, while the past has {self.found.total:,}. The last "
            f"were {types}, which lead to each other"
        )

    def miss(self, row: BranchRow, was: RecordedEvent, *, asked: bool) -> None:
        """A recorded event is not in the branch; `asked`: a gateway was called."""
        if row.untold is not None:
            self.tell(row.untold)
        if was.cause in self._open:
            row.open = True
            self._open.add(was.reference)
            self.found.open.append(was)
            self.found.open_recorded += 1
        else:
            self.found.missing.append(was)
        if asked:
            self.call(NOT, was.event)

    def note(self, was: RecordedEvent | None, now: RecordedEvent, what: tuple[str, ...], *, is_open: bool) -> None:
        """An event was decided; `what` of it is otherwise."""
        if self.keep:
            self.timeline.append(now)
        if was is not None and not what:
            self.found.unchanged += 1
        elif is_open:
            self._open.add(now.reference)
            self.found.open.append(now)
            self.found.open_recorded += was is not None
        elif was is None:
            self.found.surplus.append(now)
        else:
            self.found.changed.append(ChangedEvent(was, now, what))

    def tell(self, untold: UntoldRow) -> None:
        """Once."""
        if untold.place not in self._untold:
            self._untold.add(untold.place)
            self.found.untold.append(untold)

    def leave(self, untold: UntoldRow, was: RecordedEvent | None, now: RecordedEvent, what: tuple[str, ...]) -> None:
        """An event of a row that cannot be told: it was not decided; `what` of it is otherwise, as its cause has it."""
        self.tell(untold)
        untold.events += 1
        is_open = now.cause in self._open
        if was is not None and not what and not is_open:
            self.found.not_compared += 1
            if self.keep:
                self.timeline.append(now)
        else:
            self.note(was, now, what, is_open=is_open)

    def park(self, was: RecordedEvent | None, now: RecordedEvent, error: str, *, behind: bool) -> None:
        self.parked.append(now)
        if was is not None and was.is_parked:
            self.found.unchanged += 1
            return
        self.found.raised.append(RaisedEvent(now, error, behind))
        if was is not None:
            self.found.changed.append(ChangedEvent(was, now, (difference.PARKED,)))

    def time(self, reference: str, change: TimerChange) -> None:
        """A timer that had not fired in the past would do so otherwise, or not."""
        self._moved.add(reference)
        self.found.timers.append(change)

    def wait(self, row: BranchRow, request: RecordedEvent, *, again: bool) -> None:
        """The answer to a request is not known: what depends on it is open, and so is the row from here on.

        `again`: nor is it in the past.
        """
        row.open = True
        self._open.add(request.reference)
        self.unanswered.add(request.reference)
        if not again:
            self.found.waiting.append(request)

    def call(self, kind: str, request: Event[Any]) -> None:
        self.found.calls.append(CallChange(kind, request))

    def _join_moved(self) -> None:
        """What is missing at its place and handled at another one is no difference if it is the same."""
        found = self.found
        again = {(it.reference, it.place): it for it in found.surplus}
        moved = {name: it for it in found.missing if (name := (it.reference, it.place)) in again}
        if not moved:
            return
        for name, was in moved.items():
            if what := changes(was, again[name]):
                found.changed.append(ChangedEvent(was, again[name], what))
            else:
                found.unchanged += 1
        gone, come = {it.order for it in moved.values()}, {again[name].order for name in moved}
        told = Counter((it.request.reference, it.kind) for it in found.calls)
        stays = {it.reference for it in moved.values() if told[it.reference, NOT] and told[it.reference, BEFORE]}
        found.calls[:] = [it for it in found.calls if it.kind not in (NOT, BEFORE) or it.request.reference not in stays]
        found.missing[:] = [it for it in found.missing if it.order not in gone]
        found.surplus[:] = [it for it in found.surplus if it.order not in come]

    def result(self, rows: Mapping[Place, BranchRow], *, skipped: int, only_skipped: int) -> Difference:
        found = self.found
        self._join_moved()
        for place, row in rows.items():
            if row.told_anew is not None:
                row.told_anew.is_told, row.told_anew.after = True, row.row
            elif row.base[0] != row.row and row.untold is None:
                found.rows.append(RowChange(place, row.base[0], row.row, row.open))
        found.put_outcomes_first()
        found.keys, found.skipped = len(rows) - only_skipped, skipped
        for row in rows.values():
            for it in row.timers:
                if not it.known and it.turn.reference not in self._moved:
                    found.timers.append(TimerChange(difference.FIRES, it.turn.event.data, after=it.turn.event.time))
        return found
