"""Bringing the present to what the corrected past makes of it: step by step, until nothing differs.

Each round looks at the log as it is by then. So a row that has moved is planned again by itself, events that were in flight are met
in a later round, whoever was stopped goes on where it stood, and once nothing differs nothing is written. It has not ended while
something is in flight that an event led to which is not in the corrected past, or is otherwise there: it will be handled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set

from streams.engine.event_handlers import Limits
from streams.engine.readable import named
from streams.engine.step import CorrectionStep, encode_step
from streams.errors import HistoryError, InvalidChange, TooBusy
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast, Signature
from streams.history.correction.last_corrected import LastCorrected
from streams.history.past import Past

ROUNDS_IN_VAIN = 100
"""Rounds without a step that was accepted, after which it is given up."""
STEPS_OF_A_ROUND, BYTES_OF_A_ROUND = 10_000, 64 * 1024 * 1024
"""Of steps that are in memory at once. Each round decides the past again."""
LARGEST = Limits().event_bytes
"""Bytes of a step, which is an event to its worker."""
AwaitHandled = Callable[[Past, Set[str]], bool]
"""Is given the log and the references of events that are otherwise in the corrected past, or not in it. Returns when what was in
flight then has been handled; False: some of what they led to is not, and may be soon. Raises HistoryError if it is not for long."""


def check_steps(corrected: CorrectedPast, by: Signature, largest: int = LARGEST) -> int:
    """How many steps there are, in all rounds together; none of them is kept.

    Raises HistoryError if the past cannot be told, a handler raises in the corrected past, or a step holds over `largest` bytes.
    """
    return sum(1 for _ in _steps(corrected, by, largest))


def _round(corrected: CorrectedPast, by: Signature, largest: int) -> tuple[list[CorrectionStep], bool]:
    """The steps of a round, in causal order, and whether these are all. Raises as `check_steps`."""
    found, held = list[CorrectionStep](), 0
    for step, size in _steps(corrected, by, largest):
        if len(found) >= STEPS_OF_A_ROUND or held >= BYTES_OF_A_ROUND:
            return found, False
        found.append(step)
        held += size
    return found, True


def _steps(corrected: CorrectedPast, by: Signature, largest: int) -> Iterator[tuple[CorrectionStep, int]]:
    """Each with its bytes."""
    for step in corrected.steps(by):
        if (size := len(encode_step(step))) > largest:
            raise InvalidChange(
                f"the row {named(step.entity)} of {step.namespace} cannot be corrected: its step holds {size} bytes, and an event "
                f"may hold {largest}. Raise max_event_bytes for this command and every worker, or correct something else"
            )
        yield step, size


def reach_fixed_point(  # noqa: PLR0913 - what is corrected, and how its steps are sent
    log: Callable[[], Past],
    handlers: ApplicationHandlers,
    changes: Sequence[Change],
    by: Signature,
    publish: Callable[[Sequence[CorrectionStep]], None],
    largest: int = LARGEST,
    await_handled: AwaitHandled | None = None,
    decided: LastCorrected | None = None,
) -> int:
    """Publish steps until nothing differs; returns how many were accepted.

    `log` gives the recorded past as it is now, `publish` returns when the steps have been handled, `largest` is how many bytes
    a step may hold. Without `await_handled` nothing is in flight. `decided` is of these changes, and may
    know the first log already.

    Raises TooBusy if a row always moves before its step comes, and HistoryError for a step that was handled and not taken.
    """
    in_vain = taken = 0
    left: set[str] = set()
    led_further: Set[str] | None = None
    decided = decided or LastCorrected(handlers, changes)
    past = log()
    while True:
        corrected = decided.of(past)
        steps, all_of_them = ([], True) if decided.is_settled(past) else _round(corrected, by, largest)
        if not steps:
            if await_handled is None or not corrected.otherwise or led_further == corrected.otherwise:
                return taken
            led_further = corrected.otherwise if await_handled(past, corrected.otherwise) else None
            past = log()
            continue
        _refuse_untaken(steps, left)
        publish(steps)
        past = log()
        left = {step.event_id for step in steps if past.find(step.event_id) is None}
        if all_of_them and not left:
            decided.settle(past, len(steps))
        accepted = len(steps) - len(left)
        taken += accepted
        in_vain = 0 if accepted else in_vain + 1
        if in_vain == ROUNDS_IN_VAIN:
            raise _too_busy(steps[0])


def _too_busy(first: CorrectionStep) -> TooBusy:
    return TooBusy(
        f"the row {named(first.entity)} of {first.namespace} moved {ROUNDS_IN_VAIN} times before the step of the correction "
        f"{first.correction} came to it. All that was set before stands: apply the correction again when there is less to do"
    )


def _refuse_untaken(steps: Sequence[CorrectionStep], left: Collection[str]) -> None:
    """A step has the id of one that is `left` from the round before if its row is still at the same version."""
    for step in steps:
        if step.event_id in left:
            raise HistoryError(
                f"the step to the row {named(step.entity)} of {step.namespace} was handled and not taken, though the row is at "
                f"version {step.expected} still: a worker has set it aside, and `retold status` and its log say why. All that was "
                "set before stands"
            )
