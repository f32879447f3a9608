"""What if: the past with a change, or with other code. Only what the change reaches is decided again.

A recorded event keeps its place, what a branch adds comes right behind its cause, and nothing real is touched. The idea is Martin
Fowler's parallel model; that events are decided again, and not just folded, is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from streams.data import EventData, Record
from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.branch.changed_run import changed_run
from streams.history.branch.early_effects import early_refusal
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.code.recorded_code import RecordedCode
from streams.history.difference.difference import Difference
from streams.history.past import Past, refuse_old
from streams.history.recorded_event import Place

NO_CHANGE = Change()


class Branch(NamedTuple):
    """A branch: how it differs from its past, the rows that it reached, and its own past.

    `assumed` has requests by their references that were given the answer which was recorded to other data.
    """

    difference: Difference
    rows: Mapping[Place, Record | None]
    past: BranchPast
    assumed: Mapping[str, EventData]


def what_if(
    past: Past,
    handlers: ApplicationHandlers,
    change: Change = NO_CHANGE,
    *,
    answers: Answers | None = None,
    everything: bool = False,
    limit: int | None = None,
) -> Branch:
    """The branch of `past` that a change leads to.

    Args:
        past: The past.
        handlers: Those that made it.
        change: What is put in, taken out and replaced.
        answers: What gateways would answer. A request that was answered before has its answer again in any case.
        everything: Decide all events again, and not only what the change reaches; the result is the same.
        limit: The most events to decide; None: ten times as many as there are, and at least 10,000.

    Raises:
        NoSuchEvent: The change names an event that is not there, or several that have one id.
        InvalidChange: It names one that is no root, or replaces one by an event of another key.
        HistoryError: The past cannot be told by this code, or the branch does not end.
        InvalidEvent: An event that is put in may not be published as it is.
        DefinitionError: It belongs to no namespace of the application.

    """
    handlers = handlers.leaving(change.again)
    made = partial(BranchRun, past, LocalCode(handlers), handlers, answers, limit, in_full=everything)
    return _branch(changed_run(made, change))


def replay(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    *,
    answers: Answers | None = None,
    limit: int | None = None,
) -> Branch:
    """The branch of `past` that other code leads to: all its events are decided again.

    Args:
        past: The past.
        recorded: The code that made it: it tells what rows were.
        handlers: Those that decide in the branch.
        answers: What gateways would answer to requests that were never made.
        limit: As for `what_if`.

    Raises:
        HistoryError: The past cannot be told by `recorded`, or the branch does not end.

    """
    return _branch(_replayed(past, recorded, handlers, answers, limit))


def replay_difference(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    *,
    answers: Answers | None = None,
    limit: int | None = None,
    skip: int = 0,
) -> Difference:
    """The difference of `replay`, without the branch's own past: its events are not kept, but for those that are otherwise.

    The first `skip` events are not decided: rows are behind them what the code that made them made of them. So what is told is
    what would be decided otherwise on the same rows, and no fault of an earlier event is carried on.
    """
    return _replayed(past, recorded, handlers, answers, limit, keep=False, skip=skip).difference()


def _replayed(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    answers: Answers | None,
    limit: int | None,
    *,
    keep: bool = True,
    skip: int = 0,
) -> BranchRun:
    refuse_old(past, handlers.spaces)
    run = BranchRun(past, recorded, handlers, answers, limit, in_full=True, skip=skip)
    run.be_quick(keep=keep)
    run.decide_all()
    for it in run.lineage.early.found.values():
        raise early_refusal(it)
    return run


def _branch(run: BranchRun) -> Branch:
    return Branch(run.difference(), {place: row.row for place, row in run.reached.items()}, run.past(), run.assumed)
