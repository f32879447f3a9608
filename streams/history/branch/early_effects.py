"""Effects that stand before their cause in the order: it was recorded more than an hour ahead of their worker's clock.

A worker does not believe such a cause (rule 18), and a branch, which walks in order, has had their turn when its cause's comes.
What is as it was is right all the same. Anything else is refused: a smaller answer would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.engine.times import from_micros
from streams.errors import BeforeHistory, EffectBeforeCause
from streams.history.past import Past
from streams.history.recorded_event import STEP, OrderKey, RecordedEvent


class EarlyEffects:
    """`says`: whether an event, on its row as it was, leads to another one that names its reference."""

    def __init__(self, past: Past, says: Callable[[RecordedEvent, RecordedEvent], bool]) -> None:
        self._past, self._says = past, says
        self._causes: dict[OrderKey, RecordedEvent] = {}
        """By the places of those that were asked for."""

    def of(self, cause: RecordedEvent, effects: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Of what names the reference of `cause`, what stands before it and is of no event of that reference before that."""
        found = [it for it in effects if it.order < cause.order and it.kind != STEP and not self._is_of_another(it)]
        self._causes |= {it.order: cause for it in found}
        return found

    def _is_of_another(self, it: RecordedEvent) -> bool:
        return any(self._may_say(each, it) for each in self._past.find_all(it.cause or "") if each.order < it.order)

    def _may_say(self, cause: RecordedEvent, it: RecordedEvent) -> bool:
        try:
            return self._says(cause, it)
        except BeforeHistory:  # its row cannot be told: as far as records tell, it does
            return True

    def has(self, effect: RecordedEvent) -> bool:
        return effect.order in self._causes

    def refuse(self, effect: RecordedEvent) -> None:
        """Raises EffectBeforeCause if it is one."""
        if (cause := self._causes.get(effect.order)) is not None:
            raise effect_before_cause(cause, effect)


def effect_before_cause(cause: RecordedEvent, effect: RecordedEvent) -> EffectBeforeCause:
    """The error of a branch that has to decide an effect otherwise after its turn."""
    then, before = (from_micros(it.order.recorded).isoformat().replace("+00:00", "Z") for it in (cause, effect))
    return EffectBeforeCause(
        f"what becomes of {effect.event_type} {effect.name} cannot be told: it follows from {cause.event_type} {cause.name} and "
        f"was recorded before it, at {before} and not after {then}. The clock of a worker of {cause.namespace} was more than an "
        f"hour ahead of that of {effect.namespace}. So no past can be told, and no correction made, in which that effect is "
        "otherwise. Nothing was changed. Publish events that put right what it did"
    )
