"""What if: the past with a change, or with other code. Only what the change reaches is decided again.

A recorded event keeps its place, what a branch adds comes right behind its cause, and nothing real is touched. The idea is Martin
Fowler's parallel model; that events are decided again, and not just folded, is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from streams.data import EventData, Record
from streams.engine.envelope import checked_time, to_micros
from streams.engine.execution import wrong_version
from streams.engine.identity import answer_id, content_id
from streams.engine.readable import in_a_line
from streams.errors import DefinitionError, HistoryError, InvalidEvent
from streams.event import Event
from streams.history import difference
from streams.history.application_handlers import ApplicationHandlers
from streams.history.branch_emissions import BranchEmission, emissions_of
from streams.history.branch_past import BranchPast
from streams.history.branch_queue import BranchQueue, BranchTimer, Turn, in_place
from streams.history.branch_rows import BranchRow, row_before, timer_of, turn_of
from streams.history.change import Change, InsertedEvent
from streams.history.difference import CallChange, ChangedEvent, Difference, Origin, RaisedEvent, RowChange
from streams.history.past import Past, from_order
from streams.history.recorded_event import ANSWER, HANDLER, ROOT, VERSION, OrderKey, Place, RecordedEvent

Answers = Callable[[Event[Any]], EventData | None]
"""What a gateway would answer to a request; None: that is not known."""
LEAST_LIMIT = 10_000
NO_CHANGE = Change()


class Branch(NamedTuple):
    """A branch: how it differs from its past, the rows that it reached, and its own past."""

    difference: Difference
    rows: Mapping[Place, Record | None]
    past: BranchPast


def what_if(
    past: Past,
    handlers: ApplicationHandlers,
    change: Change = NO_CHANGE,
    *,
    other: ApplicationHandlers | None = None,
    answers: Answers | None = None,
    everything: bool = False,
    limit: int | None = None,
) -> Branch:
    """The branch of `past` that a change leads to.

    Args:
        past: The past.
        handlers: Those that made it: they tell what a row was.
        change: What is put in, taken out and replaced.
        other: Other code that decides in the branch; then everything is decided again.
        answers: What gateways would answer. A request that was answered before has its answer again in any case.
        everything: Decide all events again, and not only what the change reaches; the result is the same.
        limit: The most events to decide; None: ten times as many as there are, and at least 10,000.

    Raises:
        HistoryError: The change names an event that is not there, or is no root; the past cannot be told by this code; or the branch
            does not end.
        InvalidEvent: An event that is put in may not be published as it is.
        DefinitionError: It belongs to no namespace of the application.

    """
    run = _Run(past, handlers, other or handlers, answers, everything or other is not None, limit)
    run.begin(change)
    run.decide_all()
    return run.result()


class _Judged(NamedTuple):
    """What becomes of an event in the branch."""

    row: Record | None
    token: int
    emissions: Sequence[BranchEmission] = ()
    reason: str | None = None
    by: str | None = None
    asks: bool = False


class _Run:
    """One computation of a branch."""

    def __init__(
        self,
        past: Past,
        base: ApplicationHandlers,
        handlers: ApplicationHandlers,
        answers: Answers | None,
        everything: bool,  # noqa: FBT001 - private, and `what_if` is its one caller
        limit: int | None,
    ) -> None:
        self._past, self._base, self._handlers, self._answers, self._everything = past, base, handlers, answers, everything
        self._limit = max(LEAST_LIMIT, 10 * len(past)) if limit is None else limit
        self._queue = BranchQueue(past.events() if everything else ())
        self._rows: dict[Place, BranchRow] = {}
        self._handled: set[str] = set()
        self._said: dict[str, set[str]] = {}
        """By an event that was decided or is missing: the references of what it leads to."""
        self._otherwise: dict[str, tuple[Event[Any], bytes]] = {}
        """Recorded events with other data or another time."""
        self._removed: frozenset[str] = frozenset()
        self._open: set[str] = set()
        """Events that depend on an answer that is not known."""
        self._timeline: list[RecordedEvent] = []
        self._recent: list[str] = []
        end = past.end()
        self._end = 0 if end is None else end.recorded
        self.found = Difference(total=len(past))

    # --- the change

    def begin(self, change: Change) -> None:
        self._removed = change.remove
        for reference in sorted(change.remove):
            was = self._root(reference, "taken out")
            self._queue.push(was.order, was)
        for reference, data in change.replace.items():
            was = self._root(reference, "replaced")
            if (was.event_type, was.key) != (data.event_type, data.key):
                raise HistoryError(
                    f"{was.event_type} {was.key!r} was to be replaced by {data.event_type} {data.key!r}: an event is replaced by one of "
                    "the same type and key. Take it out, and put the other one in"
                )
            self._otherwise[reference] = (replace(was.event, data=data), self._handlers.codec.encode(data))
            self._queue.push(was.order, was)
        for it in change.insert:
            self._insert(it)

    def _root(self, reference: str, how: str) -> RecordedEvent:
        was = it = self._past.find(reference)
        if was is None or it is None:
            raise HistoryError(f"there is no event {reference} in this past, which was to be {how}")
        while it.cause is not None:
            cause = self._past.find(it.cause)
            if cause is None:
                break
            it = cause
        if it is not was or was.kind != ROOT:
            raise HistoryError(
                f"{was.event_type} {was.name} cannot be {how}: it follows from {it.event_type} {it.name} (id {it.event.id}). Only an event "
                "that was published can be changed; change that one, or the code of the handler between"
            )
        return was

    def _insert(self, it: InsertedEvent) -> None:
        data, time = it.data, checked_time(f"the time of {it.data.event_type} is", it.time)
        if data.event_type.partition(".")[0] not in self._handlers.spaces:
            raise DefinitionError(f"{data.event_type} belongs to no namespace of the application {self._handlers.app.name}")
        value = self._handlers.codec.encode(data)
        event_id = it.id or content_id(data.event_type, value, to_micros(time), 1)
        event = Event(data, event_id, time, None, event_id, it.source)
        turn = Turn(event, event.reference, value, ROOT)
        if (known := self._past.find(turn.reference)) is not None:
            raise InvalidEvent(f"{data.event_type} was to be put in with the id {event_id}, which {known.name} has already", "id")
        self._queue.push(self._order_of(it, turn), turn)

    def _order_of(self, it: InsertedEvent, turn: Turn) -> OrderKey:
        if (former := self._past.former_order(turn.reference)) is not None:
            return former
        if it.after is not None:
            found = self._past.find(it.after)
            if found is None:
                raise HistoryError(f"there is no event {it.after} in this past, behind which another one was to be put in")
            return self._queue.behind(found.order)
        time = turn.time
        for each in self._past.key_events(turn.place):
            if to_micros(each.event.time) > time:
                return self._queue.just_before(each.order)
        root = self._past.first_root_after(time)
        return self._queue.at_end() if root is None else self._queue.just_before(root.order)

    # --- whose turn it is

    def decide_all(self) -> None:
        while (found := self._queue.pop()) is not None:
            order, item = found
            if isinstance(item, RecordedEvent):
                self._take_recorded(order, item)
            elif isinstance(item, Turn):
                self._decide(order, item)
            elif item in self._rows[item.owner].timers:
                self._fire(order, item)

    def _take_recorded(self, order: OrderKey, was: RecordedEvent) -> None:
        if was.reference in self._handled:
            return
        said = None if was.cause is None else self._said.get(was.cause)
        if was.reference in self._removed or (said is not None and was.reference not in said):
            self._miss(was)
            return
        event, value = self._otherwise.get(was.reference, (was.event, was.value))
        self._decide(order, Turn(event, was.reference, value, was.kind, was.cause, was.ordinal, was.expected, was))

    def _row(self, place: Place, order: OrderKey) -> BranchRow:
        """Only as an event's turn comes: a row that is reached at a later place too early would lose what is between."""
        row = self._rows.get(place)
        if row is None:
            if self._everything:
                row = BranchRow(order, (None, 0), None, 0, [])
            else:
                row = row_before(self._past, self._base, place, order)
                for it in from_order(self._past.key_events(place), order):
                    self._queue.push(it.order, it)
            self._rows[place] = row
        return row

    def _miss(self, was: RecordedEvent) -> None:
        """A recorded event that the branch has not."""
        row = self._row(was.place, was.order)
        row.base = self._base.fold(row.base, was)
        self._handled.add(was.reference)
        if self._is_open(row, was.cause):
            self._open.add(was.reference)
            self.found.open.append(was)
        else:
            self.found.missing.append(was)
        if was.accepted and self._asks(was.namespace, was.event):
            self.found.calls.append(CallChange(difference.NOT, was.event))
        self._follow_up(was.reference, set())

    def _is_open(self, row: BranchRow, cause: str | None) -> bool:
        row.open = row.open or cause in self._open
        return row.open

    def _asks(self, namespace: str, event: Event[Any]) -> bool:
        handler = self._handlers.handler_of(namespace, event)
        return handler is not None and handler.function is None

    def _follow_up(self, reference: str, said: set[str]) -> None:
        """What an event leads to; what it no longer leads to is missing when its turn comes."""
        self._said[reference] = said
        for effect in self._past.effects(reference):
            if effect.reference not in said:
                self._queue.push(effect.order, effect)

    # --- timers

    def _fire_before(self, row: BranchRow, order: OrderKey, turn: Turn) -> None:
        """The timers of a row that are due before one of its events, in the order of their times.

        One that never fired in the past fires only before an event that the past has not, or has at another time.
        """
        was, time, number = turn.was, turn.time, 0
        as_it_was = was is not None and was.event.time == turn.event.time
        while not row.stopped:
            due = [it for it in row.timers if it.due < time and not (it.known and as_it_was)]
            if not due:
                break
            self._fire(in_place(order, number), min(due, key=lambda it: it.due))
            number += 1

    def _fire(self, order: OrderKey, timer: BranchTimer) -> None:
        self._rows[timer.owner].timers.remove(timer)
        if timer.turn.reference in self._handled or timer.turn.place[0] not in self._handlers.spaces:
            return
        if timer.own:
            self._decide(order, timer.turn)
        else:
            self._queue.push(self._queue.behind(order), timer.turn)

    # --- decisions

    def _decide(self, order: OrderKey, turn: Turn) -> None:
        if turn.reference in self._handled:
            return
        row, was = self._row(turn.place, order), turn.was
        self._fire_before(row, order, turn)
        self._handled.add(turn.reference)
        self._count(turn)
        base_before, row_was = row.base[0], row.row
        if was is not None:
            row.base = self._base.fold(row.base, was)
        is_open = self._is_open(row, turn.cause)
        if row.stopped:
            self._stop(order, turn, row, "an event before it of its key is parked", behind=True)
            return
        try:
            judged = self._judge(row, turn)
        except Exception as error:
            self._stop(order, turn, row, in_a_line(error))
            return
        row.row, row.token = judged.row, judged.token
        said = self._follow(order, turn, row, judged.emissions, base_before, row_was)
        if judged.asks:
            self._ask(order, turn, row, said)
        elif was is not None and was.accepted and self._asks(was.namespace, was.event):
            self.found.calls.append(CallChange(difference.NOT, was.event))
        now = _recorded(order, turn, judged.reason, judged.by)
        self._timeline.append(now)
        what = () if was is None else _changes(was, now)
        if is_open and (was is None or what):
            self._open.add(turn.reference)
            self.found.open.append(now)
        elif was is None:
            self.found.surplus.append(now)
        elif what:
            self.found.changed.append(ChangedEvent(was, now, what))
        else:
            self.found.unchanged += 1
        if was is not None and base_before == row_was and was.value == turn.value and was.event.time == turn.event.time:
            kept = all(it.reference in said for it in self._past.effects(was.reference) if it.kind != ANSWER)
            if what or row.base[0] != row.row or not kept or any(it.recorded is None and it.reference in said for it in judged.emissions):
                self.found.origins.append(Origin(was, now, row_was, row.base[0], row.row))
        self._follow_up(turn.reference, said)

    def _count(self, turn: Turn) -> None:
        self.found.decided += 1
        self._recent = [*self._recent[-99:], turn.event.data.event_type]
        if self.found.decided > self._limit:
            types = ", ".join(name for name, _ in Counter(self._recent).most_common(5))
            raise HistoryError(
                f"the branch does not end: {self._limit:,} events were decided, while the past has {self.found.total:,}. The last were "
                f"{types}, which lead to each other"
            )

    def _judge(self, row: BranchRow, turn: Turn) -> _Judged:
        """Raises what a handler raises, and what its emissions may not be."""
        was, [namespace, _] = turn.was, turn.place
        if was is not None and was.by not in (None, HANDLER, VERSION):
            return _Judged(row.row, row.token, reason=was.reason, by=was.by)
        handler = self._handlers.handler_of(namespace, turn.event)
        if handler is None:
            raise HistoryError(f"{turn.event.data.event_type} has no handler in the application {self._handlers.app.name}")
        if (reason := wrong_version(turn.expected, row.row, row.token)) is not None:
            return _Judged(row.row, row.token, reason=reason, by=VERSION)
        if handler.function is None:
            return _Judged(row.row, row.token, asks=True)
        decided = self._handlers.decide(namespace, handler, row.row, turn.event)
        effects = self._past.effects(turn.reference)
        emissions = emissions_of(self._handlers, handler, turn.event, decided.emissions, effects) if decided.emissions else ()
        if decided.reason is not None:
            return _Judged(row.row, row.token, emissions, decided.reason, HANDLER)
        return _Judged(decided.row, -self.found.decided if was is None else was.order.sequence, emissions)

    def _stop(self, order: OrderKey, turn: Turn, row: BranchRow, error: str, *, behind: bool = False) -> None:
        """The event is parked, and its key with it."""
        row.stopped = True
        now = _recorded(order, turn, error, None)
        self.found.raised.append(RaisedEvent(now, error, behind))
        if turn.was is not None:
            self.found.changed.append(ChangedEvent(turn.was, now, (difference.PARKED,)))
        self._follow_up(turn.reference, set())

    def _follow(
        self,
        order: OrderKey,
        turn: Turn,
        row: BranchRow,
        emissions: Sequence[BranchEmission],
        base_before: Record | None,
        row_was: Record | None,
    ) -> set[str]:
        """Let what an event emits have its turn; returns the references of what it leads to."""
        said, really = set[str](), None
        for it in emissions:
            was = it.recorded
            if was is not None:
                said.add(it.reference)
                if not it.same or was.order <= order:
                    self._otherwise[it.reference] = (it.event, it.value)
                    self._queue.push(was.order if was.order > order else self._queue.behind(order), was)
                continue
            if really is None:
                really = self._really_said(turn, emissions, base_before, row_was)
            if really.get(it.reference) == (it.value, it.event.time):
                if it.at is None:
                    self.found.in_flight.append(it.reference)
                else:
                    row.timers.append(timer_of(it, turn.place, turn.reference, known=True))
                continue
            said.add(it.reference)
            self._emit(order, turn, row, it)
        return said

    def _emit(self, order: OrderKey, turn: Turn, row: BranchRow, it: BranchEmission) -> None:
        """What the past has not; of an event that it had before, the place is the same."""
        if it.namespace not in self._handlers.spaces:
            return
        former = self._past.former_order(it.reference)
        if former is not None and former > order:
            self._queue.push(former, turn_of(it, turn.reference))
        elif it.at is None:
            self._queue.push(self._queue.behind(order), turn_of(it, turn.reference))
        else:
            timer = timer_of(it, turn.place, turn.reference, known=False)
            row.timers.append(timer)
            if timer.due <= self._end:
                self._queue.push(self._queue.when_due(timer.due, order), timer)

    def _really_said(
        self, turn: Turn, emissions: Sequence[BranchEmission], base_before: Record | None, row_was: Record | None
    ) -> dict[str, tuple[bytes, Any]]:
        """What the recorded event has emitted that was not handled when the past was read, by reference: value and time."""
        was = turn.was
        if was is None or not (was.accepted or was.by == HANDLER):
            return {}
        if self._base is not self._handlers or base_before != row_was or was.event != turn.event:
            handler = self._base.handler_of(was.namespace, was.event)
            if handler is None or handler.function is None:
                return {}
            emit = self._base.decide(was.namespace, handler, base_before, was.event).emissions
            emissions = emissions_of(self._base, handler, was.event, emit, self._past.effects(was.reference))
        return {it.reference: (it.value, it.event.time) for it in emissions if it.recorded is None}

    # --- gateways

    def _ask(self, order: OrderKey, turn: Turn, row: BranchRow, said: set[str]) -> None:
        """A request has the answer that it had, if it was the same; else the one that is given; else it waits."""
        was, reference = turn.was, answer_id(turn.reference)
        same = was is not None and was.accepted and was.value == turn.value
        answer = self._past.find(reference)
        if same:
            if answer is not None:
                said.add(reference)
            return
        former = self._past.former_answer(turn.reference)
        if former is not None and former[0] == turn.value:
            said.add(reference)
            if answer is None:
                known = former[1]
                place = self._past.former_order(reference)
                again = Turn(known.event, reference, known.value, ANSWER, turn.reference)
                self._queue.push(place if place is not None and place > order else self._queue.behind(order), again)
            if was is None:
                self.found.calls.append(CallChange(difference.BEFORE, turn.event))
            return
        self.found.calls.append(CallChange(difference.WOULD_CALL if was is None else difference.OTHERWISE, turn.event))
        data = None if self._answers is None else self._answers(turn.event)
        if data is None:
            row.open = True
            self.found.waiting.append(_recorded(order, turn, None, None))
            return
        said.add(reference)
        value = self._handlers.codec.encode(data)
        source = self._handlers.spaces[turn.place[0]].source
        event = Event(data, reference, turn.event.time, turn.event.id, turn.event.correlation or turn.event.id, source)
        if answer is not None:
            self._otherwise[reference] = (event, value)
            self._queue.push(answer.order, answer)
        else:
            self._queue.push(self._queue.behind(order), Turn(event, reference, value, ANSWER, turn.reference))

    # --- the result

    def result(self) -> Branch:
        found = self.found
        for place, row in self._rows.items():
            if row.base[0] != row.row:
                found.rows.append(RowChange(place, row.base[0], row.row, row.open))
        found.keys = len(self._rows)
        found.pending = sum(not it.known for row in self._rows.values() for it in row.timers)
        past = BranchPast(self._past, {place: row.since for place, row in self._rows.items()}, self._timeline)
        return Branch(found, {place: row.row for place, row in self._rows.items()}, past)


def _recorded(order: OrderKey, turn: Turn, reason: str | None, by: str | None) -> RecordedEvent:
    """An event as the branch has it."""
    return RecordedEvent(
        order, turn.event, turn.reference, turn.kind, by is None, turn.value, turn.cause, turn.ordinal, by, reason, turn.expected
    )


def _changes(was: RecordedEvent, now: RecordedEvent) -> tuple[str, ...]:
    """What is otherwise. Versions are told by other numbers in a branch, so a reason counts only if a handler gave it."""
    return tuple(
        name
        for name, is_other in (
            (difference.DATA, was.value != now.value),
            (difference.TIME, was.event.time != now.event.time),
            (difference.OUTCOME, was.accepted != now.accepted),
            (difference.REASON, not was.accepted and not now.accepted and was.by == HANDLER and was.reason != now.reason),
        )
        if is_other
    )
