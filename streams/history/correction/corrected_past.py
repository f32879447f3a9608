"""The past as corrections make it, beside what the log has: which rows still differ, and the steps that set them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from copy import copy
from functools import cached_property
from typing import NamedTuple

from streams.data import EventData, namespace_of
from streams.engine.envelope import CONTENT_TYPE, caused_by
from streams.engine.records import Entry, Headers
from streams.engine.step import CorrectionStep, DroppedTimer, StepTimer
from streams.engine.times import iso_text
from streams.errors import HistoryError, InvalidChange
from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_change import events_in_change
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_queue import END, BranchTimer
from streams.history.branch.branch_rows import BranchRow
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.decided_change import decided_change
from streams.history.correction.rows_as_kept import RowsAsKept, has_come
from streams.history.difference.difference import Difference
from streams.history.past import Past
from streams.history.recorded_event import OrderKey, Place, RecordedEvent


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
    """`log` is the past as it was recorded, with the steps of corrections; `change` is all that they change together.

    `applied` is what those change together that were applied to their end: what they make of a row that code of another generation
    has set is the row that workers keep, which were given rows of this generation since.
    """

    def __init__(
        self, log: Past, handlers: ApplicationHandlers, change: Change, answers: Answers | None = None, *,
        applied: Change | None = None, limit: int | None = None,
    ) -> None:  # fmt: skip
        """Raises as `what_if`."""
        handlers = handlers.leaving(change.again)
        self._log, self._handlers, self._applied, self._again = log, handlers, applied, change.again
        run = decided_change(log, handlers, change, answers, limit)
        self.rows: Mapping[Place, BranchRow] = run.reached
        """Those that differ somewhere, or might, as they are in the corrected past."""
        self.past: BranchPast = run.past()
        self.assumed: Mapping[str, EventData] = run.assumed
        """Requests, by their references, that `answers` has given the answers which were recorded to other data."""
        self.difference: Difference = run.difference()

    def over(self, log: Past) -> CorrectedPast:
        """The same of a log that tells the same, but for steps which have set rows to what they are here."""
        found = copy(self)
        found._log, found.past = log, self.past.over(log)
        vars(found).pop("_as_kept", None)
        return found

    @property
    def begins(self) -> OrderKey | None:
        """From where on the past is otherwise, or may be; None: nowhere."""
        return min((it.since for it in self.rows.values()), default=None)

    @cached_property
    def _as_kept(self) -> RowsAsKept:
        return RowsAsKept(self._log, self._handlers, self._applied)

    @cached_property
    def otherwise(self) -> Set[str]:
        """References of recorded events that are not in the corrected past, or otherwise there, or decided again."""
        gone, changed = self.difference.missing, self.difference.changed
        again = (it for name in self._again for it in events_in_change(self._log, name))
        return {it.reference for it in (*gone, *again)} | {it.recorded.reference for it in changed}

    def different_rows(self) -> Iterator[DifferentRow]:
        """In causal order: by where each was reached. Raises HistoryError if one cannot be told, or a handler raises."""
        for raised in self.difference.raised:
            it = raised.event
            raise InvalidChange(
                f"the past cannot be corrected so: the handler of {it.event_type} of {it.key!r} would raise {raised.error}. "
                "Correct something else, or its handler"
            )
        for place, row in sorted(self.rows.items(), key=lambda it: it[1].since):
            if row.untold is not None:
                raise HistoryError(f"the past cannot be corrected: {row.untold.why}")
            base, live = self._as_kept.base(place, row), self._as_kept.timers(place, row)
            wanted = {it.turn.event.id: it for it in row.timers}
            stays = {name for name, it in wanted.items() if name in live and live[name][:2] == (it.turn.value, it.due)}
            dropped = tuple(it.gone for name, it in live.items() if name not in stays)
            added = tuple(it for name, it in wanted.items() if name not in stays)
            if dropped or added or base[0] != row.row:
                yield DifferentRow(place, row.since, base, row, dropped, added)

    def steps(self, by: Signature) -> Iterator[CorrectionStep]:
        """A step to each row that differs, in causal order.

        Raises HistoryError for what no step can do: a timer that has fired, and is to fire once more.
        """
        end = self._log.end()
        after = 0 if end is None else end.recorded
        for number, it in enumerate(self.different_rows(), 1):
            self.refuse_fired(it)
            namespace, key = it.place
            row = b"" if it.row.row is None else self._handlers.codec.encode_frozen(it.row.row)[1]
            added = tuple(self._timer(each) for each in it.added)
            yield CorrectionStep(
                command="step", namespace=namespace, entity=key, correction=by.correction, number=number,
                expected=it.live[1], row=row, added=added, dropped=it.dropped, who=by.who, why=by.why,
                generation=self._handlers.spaces[namespace].generation, after=after,
            )  # fmt: skip

    def refuse_fired(self, it: DifferentRow) -> None:
        """Raises HistoryError for a timer that has fired, and is to fire once more."""
        for timer in it.added:
            event = timer.turn.event
            if has_come(self._log, event.id):
                raise HistoryError(
                    f"the past cannot be corrected so: {event.data.event_type} of {event.key!r} has fired, and would fire once "
                    f"more at {event.time}, which a worker would take for a duplicate. Publish what is to happen then instead. A "
                    "correction that has begun can be applied to its end once something was handled after that time"
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
