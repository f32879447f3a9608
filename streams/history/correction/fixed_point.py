"""Bringing the present to what the corrected past makes of it: step by step, until nothing differs.

Each round looks at the log as it is by then. So a row that has moved is planned again by itself, events that were in flight are met
in a later round, whoever was stopped goes on where it stood, and once nothing differs nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.engine.readable import named
from streams.engine.step import CorrectionStep
from streams.errors import TooBusy
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast, Signature
from streams.history.correction.merged_change import merged
from streams.history.past import Past

ROUNDS_IN_VAIN = 100
"""Rounds without a step that was accepted, after which it is given up."""
STEPS_OF_A_ROUND = 1_000


def next_steps(log: Past, handlers: ApplicationHandlers, changes: Sequence[Change], by: Signature) -> list[CorrectionStep]:
    """The steps of a round, in causal order; none: the present is what `changes`, all corrections so far, make of it.

    Raises HistoryError if the past cannot be told, or a handler raises in the corrected past.
    """
    corrected = CorrectedPast(log, handlers, merged(log, changes))
    return [step for step, _ in zip(corrected.steps(by), range(STEPS_OF_A_ROUND), strict=False)]


def reach_fixed_point(
    log: Callable[[], Past],
    handlers: ApplicationHandlers,
    changes: Sequence[Change],
    by: Signature,
    publish: Callable[[Sequence[CorrectionStep]], None],
) -> int:
    """Publish steps until nothing differs; returns how many were accepted.

    `log` gives the recorded past as it is now, `publish` returns when the steps have been handled.

    Raises TooBusy if a row always moves before its step comes.
    """
    in_vain = taken = 0
    while steps := next_steps(past := log(), handlers, changes, by):
        publish(steps)
        past = log()
        accepted = sum(past.find(step.event_id) is not None for step in steps)
        taken += accepted
        in_vain = 0 if accepted else in_vain + 1
        if in_vain == ROUNDS_IN_VAIN:
            first = steps[0]
            raise TooBusy(
                f"the row {named(first.entity)} of {first.namespace} moved {ROUNDS_IN_VAIN} times before "
                f"the step of the correction {by.correction} came to it. All that was set before stands: apply the "
                "correction again when there is less to do"
            )
    return taken
