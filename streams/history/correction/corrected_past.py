"""The past as corrections make it, beside what the log has: which rows still differ, and the steps that set them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from functools import cached_property
from typing import NamedTuple

from streams.data import namespace_of
from streams.engine.envelope import CONTENT_TYPE, caused_by
from streams.engine.records import Entry, Headers
from streams.engine.step import CorrectionStep, DroppedTimer, StepTimer
from streams.engine.times import iso_text, to_micros
from streams.errors import HistoryError, InvalidChange
from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_queue import END, BranchTimer
from streams.history.branch.branch_rows import BranchRow
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.difference.difference import Difference
from streams.history.past import Past
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent


class WaitingTimer(NamedTuple):
    """A timer of the present: its bytes, when it is due (µs), and what took it away if it were to go."""

    value: bytes
    due: int
    gone: DroppedTimer


WaitingTimers = dict[str, WaitingTimer]
"""By event id."""


class Signature(NamedTuple):
    """Which correction a step is of, and who corrects, and why."""

    correction: str
    who: str
    why: str


class DifferentRow(NamedTuple):
    """A row of the present that is not what the corrected past makes of it. `timers` are all that are to wait there."""

    place: Place
    since: OrderKey
    live: Entry
    row: BranchRow
    dropped: tuple[DroppedTimer, ...]
    added: tuple[BranchTimer, ...]


class CorrectedPast:
    """`log` is the past as it was recorded, with the steps of corrections; `change` is all that they change together."""

    def __init__(
        self, log: Past, handlers: ApplicationHandlers, change: Change, answers: Answers | None = None
    ) -> None:
        """Raises as `what_if`."""
        self._log, self._handlers = log, handlers
        run = BranchRun(log, LocalCode(handlers), handlers, answers, None, in_full=False, steps_stand=False)
        run.begin(change)
        run.decide_all()
        self._reached: Mapping[Place, BranchRow] = run.reached
        self.past: BranchPast = run.past()
        self.difference: Difference = run.difference()

    @property
    def reached(self) -> Collection[Place]:
        """The rows that differ somewhere, or might."""
        return self._reached.keys()

    @property
    def begins(self) -> OrderKey | None:
        """From where on the past is otherwise, or may be; None: nowhere."""
        return min((it.since for it in self._reached.values()), default=None)

    @cached_property
    def otherwise(self) -> Set[str]:
        """References of recorded events that are not in the corrected past, or otherwise there."""
        gone, changed = self.difference.missing, self.difference.changed
        return {it.reference for it in gone} | {it.recorded.reference for it in changed}

    def different_rows(self) -> Iterator[DifferentRow]:
        """In causal order: by where each was reached. Raises HistoryError if one cannot be told, or a handler raises."""
        for raised in self.difference.raised:
            it = raised.event
            raise InvalidChange(
                f"the past cannot be corrected so: the handler of {it.event_type} of {it.key!r} would raise {raised.error}. "
                "Correct something else, or its handler"
            )
        for place, row in sorted(self._reached.items(), key=lambda it: it[1].since):
            if row.untold is not None:
                raise HistoryError(f"the past cannot be corrected: {row.untold.why}")
            live = live_timers(self._log, self._handlers, place)
            wanted = {it.turn.event.id: it for it in row.timers}
            stays = {name for name, it in wanted.items() if name in live and live[name][:2] == (it.turn.value, it.due)}
            dropped = tuple(it.gone for name, it in live.items() if name not in stays)
            added = tuple(it for name, it in wanted.items() if name not in stays)
            if dropped or added or row.base[0] != row.row:
                yield DifferentRow(place, row.since, row.base, row, dropped, added)

    def steps(self, by: Signature) -> Iterator[CorrectionStep]:
        """A step to each row that differs, in causal order.

        Raises HistoryError for what no step can do: a timer that has fired, and is to fire once more.
        """
        for number, it in enumerate(self.different_rows(), 1):
            self.refuse_fired(it)
            namespace, key = it.place
            row = b"" if it.row.row is None else self._handlers.codec.encode_frozen(it.row.row)[1]
            added = tuple(self._timer(each) for each in it.added)
            yield CorrectionStep(
                command="step", namespace=namespace, entity=key, correction=by.correction, number=number,
                expected=it.live[1], row=row, added=added, dropped=it.dropped, who=by.who, why=by.why,
            )  # fmt: skip

    def refuse_fired(self, it: DifferentRow) -> None:
        """Raises HistoryError for a timer that has fired, and is to fire once more."""
        for timer in it.added:
            event = timer.turn.event
            if _has_come(self._log, event.id):
                raise HistoryError(
                    f"the past cannot be corrected so: {event.data.event_type} of {event.key!r} has fired, and would fire once "
                    f"more at {event.time}, which a worker would take for a duplicate. Publish what is to happen then instead"
                )

    def _timer(self, timer: BranchTimer) -> StepTimer:
        turn = timer.turn
        event = turn.event
        headers: Headers = [
            ("ce_specversion", b"1.0"),
            ("ce_source", event.source.encode()),
            ("content-type", CONTENT_TYPE),
            *self._cause(timer),
            ("ce_id", event.id.encode()),
            ("ce_type", event.data.event_type.encode()),
            ("ce_time", iso_text(event.time).encode()),
        ]
        if turn.ordinal:
            headers.append(("ce_ordinal", b"%d" % turn.ordinal))
        namespace = namespace_of(event.data.event_type)
        return StepTimer(event.id, timer.due, namespace, event.key, turn.value, tuple(headers), timer.own)

    def _cause(self, timer: BranchTimer) -> Headers:
        found = self.past.find_all(timer.turn.cause or "")
        if not found:
            raise HistoryError(f"the cause of the timer {timer.turn.event.id} is not in the corrected past")
        cause: RecordedEvent = found[-1]
        recorded = cause.order.recorded
        if recorded == END:  # it stands behind all
            end = self._log.end()
            recorded = 0 if end is None else end.recorded
        return [(name, b"0" if name == "ce_hops" else value) for name, value in caused_by(cause.event, recorded, 0)]


def live_timers(log: Past, handlers: ApplicationHandlers, place: Place) -> WaitingTimers:
    """The timers that wait at a row, as its log tells: what its events scheduled and has not fired, as steps have left it."""
    code, found = LocalCode(handlers), WaitingTimers()
    current: Entry = (None, 0)
    for it in log.key_events(place):
        current = code.fold(current, it)
        if it.kind == STEP:
            for gone in it.event.data.dropped:
                found.pop(gone.event_id, None)
            found |= {each.event_id: _added(each) for each in it.event.data.added}
        else:
            for name, (value, time) in code.scheduled(it).items():
                found[name] = WaitingTimer(value, to_micros(time), DroppedTimer(name, it.event.id, it.event.source))
    return {name: waits for name, waits in found.items() if not _has_come(log, name)}


def _added(it: StepTimer) -> WaitingTimer:
    headers = dict(it.headers)
    cause, source = (headers.get(name, b"").decode() for name in ("ce_causationid", "ce_causationsource"))
    return WaitingTimer(it.value, it.at, DroppedTimer(it.event_id, cause, source))


def _has_come(log: Past, event_id: str) -> bool:
    return any(it.kind != STEP for it in log.find_all(event_id))

