"""Effects that stand before their cause in the order: it was recorded more than an hour ahead of their worker's clock.

A worker does not believe such a cause (rule 18), and a branch, which walks in order, has had their turn when its cause's comes.
What is as it was is right all the same. For anything else the branch is computed once more (`changed_run.py`), and takes for
granted in the effect's turn what was found: it is gone, or otherwise. Its cause's turn tells whether that is so.

What is new of such an effect stands behind all of its own row that led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from streams.engine.envelope import HOPS_LIMIT
from streams.engine.times import from_micros
from streams.errors import BeforeHistory, EffectBeforeCause
from streams.event import Event
from streams.history.branch.branch_queue import BranchTurn
from streams.history.past import Past, cause_of
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent

Said = tuple[Event[Any], bytes]
"""An event as its cause says it, and the bytes of its data."""


class EarlyChange(NamedTuple):
    """What becomes of an early effect: it is as its cause says it `now`; None: its cause leads to it no more."""

    cause: RecordedEvent
    effect: RecordedEvent
    now: Said | None


EarlyChanges = Mapping[OrderKey, EarlyChange]
"""By the places of the effects."""


class PresumedEffects(NamedTuple):
    """What a branch takes for granted of early effects. All others of the past are as they were.

    `put`: those that are put in again with their causes, at the places that they had.
    """

    changes: EarlyChanges
    put: Mapping[OrderKey, BranchTurn]


NOTHING_PRESUMED = PresumedEffects(MappingProxyType({}), MappingProxyType({}))


class EarlyEffects:
    """`says`: whether an event, on its row as it was, leads to another one that names its reference."""

    def __init__(self, past: Past, says: Callable[[RecordedEvent, RecordedEvent], bool]) -> None:
        self._past, self._says = past, says
        self._causes: dict[OrderKey, RecordedEvent] = {}
        """By the places of those that were asked for."""
        self.presumed = NOTHING_PRESUMED
        self.found: dict[OrderKey, EarlyChange] = {}
        """What is not as it was taken for granted."""
        self.said: dict[OrderKey, BranchTurn] = {}
        """Those that are put in again, as their causes say. It is right if these are all that were."""

    def of(self, cause: RecordedEvent, effects: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Of what names the reference of `cause`, in order, what stands before it and is of no other event before that."""
        if not effects or effects[0].order > cause.order:  # nearly always
            return ()
        found = [it for it in effects if it.order < cause.order and it.kind != STEP and self._is_of(cause, it)]
        self._causes |= {it.order: cause for it in found}
        return found

    def _is_of(self, cause: RecordedEvent, it: RecordedEvent) -> bool:
        others = [each for each in self._past.find_all(it.cause or "") if each.order < it.order]
        return not others or (self._may_say(cause, it) and not any(self._may_say(each, it) for each in others))

    def _may_say(self, cause: RecordedEvent, it: RecordedEvent) -> bool:
        try:
            return self._says(cause, it)
        except BeforeHistory:  # its row cannot be told: as far as records tell, it does
            return True

    def take(self, effect: RecordedEvent, now: Said | None) -> bool:
        """Whether it is an early one, of which its cause has said now what becomes of it. Its turn is over, so it is only noted."""
        cause = self._causes.get(effect.order)
        if cause is None:
            return False
        presumed = self.presumed.changes.get(effect.order)
        if now != (as_it_was(effect) if presumed is None else presumed.now):
            self.found[effect.order] = EarlyChange(cause, effect, now)
        return True

    def takes_again(self, order: OrderKey, cause: BranchTurn, effect: BranchTurn, former: Sequence[OrderKey]) -> bool:
        """Whether an effect stood before its cause, which is put in again at `order`, where it stood: then so does the effect."""
        if cause.was is not None or not former or former[-1] > order:
            return False
        if all(it.order != order for it in self._past.former(cause.reference)):
            return False
        self.said[former[-1]] = effect
        return True

    def behind(self, order: OrderKey, was: RecordedEvent | None, row: Place) -> OrderKey:
        """Behind which place that stands in a row which is new of an event: its own, or a later one of that row that led to it."""
        for _ in range(HOPS_LIMIT):
            was = None if was is None or was.cause is None else cause_of(self._past, was)
            if was is None:
                break
            if was.place == row:
                order = max(order, was.order)
        return order


def as_it_was(effect: RecordedEvent) -> Said:
    return effect.event, effect.value


def early_refusal(it: EarlyChange) -> EffectBeforeCause:
    """The error of a branch that has an effect not as it is to be."""
    then, before = (from_micros(each.order.recorded).isoformat().replace("+00:00", "Z") for each in (it.cause, it.effect))
    return EffectBeforeCause(
        f"what becomes of {it.effect.event_type} {it.effect.name} cannot be told: it follows from {it.cause.event_type} "
        f"{it.cause.name} and was recorded before it, at {before} and not after {then}. The clock of a worker of "
        f"{it.cause.namespace} was more than an hour ahead of that of {it.effect.namespace}. So its turn was over when its cause's "
        "came, and what it was taken for is not what its cause leads to in this branch. Nothing was changed. Publish events that "
        "put right what it did"
    )
