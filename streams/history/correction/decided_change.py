"""What corrections make of a log, as a branch: with what earlier ones had reached, also where a later one has taken them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.past import Past, from_order
from streams.history.recorded_event import RecordedEvent


def decided_change(
    log: Past, handlers: ApplicationHandlers, change: Change, answers: Answers | None = None, limit: int | None = None
) -> BranchRun:
    """The branch of `log` that corrections lead to, which are one `change` together. Raises as `what_if`.

    A row that a correction had reached is decided again from there on, also if a later one has put back what it took out: the
    plan of that one said what its code decides, and not what code before had led to.
    """
    reached = [it for undone in change.undone for it in _first_reached(log, handlers, undone)]
    return _decided(log, handlers, change, reached, answers, limit)


def _first_reached(log: Past, handlers: ApplicationHandlers, change: Change) -> Iterator[RecordedEvent]:
    """Of each row that a change reaches, the first event of the log from there on."""
    for place, row in _decided(log, handlers, change).reached.items():
        yield from from_order(log.key_events(place), row.since)[:1]


def _decided(
    log: Past, handlers: ApplicationHandlers, change: Change, also: Iterable[RecordedEvent] = (),
    answers: Answers | None = None, limit: int | None = None,
) -> BranchRun:  # fmt: skip
    run = BranchRun(log, LocalCode(handlers), handlers, answers, limit, in_full=False, steps_stand=False)
    run.begin(change, also)
    run.decide_all()
    return run
