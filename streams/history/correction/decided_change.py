"""What corrections make of a log, as a branch: it takes none of their steps, since it has the corrections themselves."""

from __future__ import annotations

from functools import partial

from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.branch.changed_run import changed_run
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.past import Past


def decided_change(
    log: Past, handlers: ApplicationHandlers, change: Change, answers: Answers | None = None, limit: int | None = None
) -> BranchRun:
    """The branch of `log` that corrections lead to, which are one `change` together. Raises as `what_if`."""
    made = partial(BranchRun, log, LocalCode(handlers), handlers, answers, limit, in_full=False, steps_stand=False)
    return changed_run(made, change)
