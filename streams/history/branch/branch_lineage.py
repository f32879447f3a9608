"""Which events of the past have had their turn in a branch, and what led to them: so which of them it still has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from streams.engine.identity import answer_id
from streams.errors import CodeChanged
from streams.event import Event
from streams.history.branch.branch_queue import BranchQueue, BranchTurn
from streams.history.branch.early_effects import EarlyEffects
from streams.history.branch.step_timers import LeftTimers
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import emitted
from streams.history.past import Past, before, cause_of, is_cause, refuse_erased
from streams.history.recorded_event import ANSWER, OrderKey, Place, RecordedEvent

NO_EFFECTS: tuple[str, Sequence[RecordedEvent]] = ("", ())


class BranchLineage:
    """A recorded event is known by its place here: several may have one reference, and then so may their effects.

    An effect names its cause by reference alone. It belongs to whichever event of that reference says it: one that is decided
    takes it (the first one that nobody has taken), and one that the branch does not reach is asked, by deciding it on its row
    as it was. So an effect is gone only if no event that stands before it says it.
    """

    def __init__(self, past: Past, handlers: ApplicationHandlers, queue: BranchQueue) -> None:
        self._past, self._handlers, self._queue = past, handlers, queue
        self.removed: set[OrderKey] = set()
        """What is taken out, and timers that nothing fires any more."""
        self.orphans: set[OrderKey] = set()
        """What the past has of events that it never had, but corrections made: it is gone with them."""
        self.left: LeftTimers = {}
        """As corrections have left timers. One that a worker has waits until it fires it; a branch fires the others itself."""
        self._seen: set[OrderKey] = set()
        self._missed: set[OrderKey] = set()
        self._moved: set[str] = set()
        """References of what does not stand where it was recorded, but behind its cause, or where it is due."""
        self._last = NO_EFFECTS
        """Of the event whose turn it is: as another one of its reference has its own, more may have been read of them."""
        self._decided: dict[str, tuple[tuple[Place, datetime], ...]] = {}
        """By reference: whose row's events were decided, and their times. Publishers may give one id to several rows."""
        self._plain: dict[str, tuple[OrderKey, Place, datetime]] = {}
        """By reference: the first event of it, if it was decided plainly as it was, and so is neither in `_seen` nor `_decided`."""
        self._said: dict[str, set[OrderKey]] = {}
        """By the reference of an event that was decided or is missing: the records that it leads to."""
        self.early = EarlyEffects(past, self._says)

    def has_seen(self, it: RecordedEvent) -> bool:
        return it.order in self._seen or self._is_repeated(it)

    def _is_repeated(self, it: RecordedEvent) -> bool:
        plain = self._plain.get(it.reference)
        return plain is not None and plain[0] == it.order

    def take(self, turn: BranchTurn) -> bool:
        """Whether its turn is now. If not, it has been already, or it is a duplicate."""
        self._last = NO_EFFECTS
        decided, plain = self._decided.get(turn.reference, ()), self._plain.get(turn.reference)
        if plain is not None:
            decided = (plain[1:], *decided)
        if turn.was is None:
            if (turn.place, turn.event.time) in decided:
                return False
        elif self.has_seen(turn.was):
            return False
        else:
            self._seen.add(turn.was.order)
        if decided and turn.reference not in self._said:  # one of its reference was plainly as it was, so that all effects are its
            self._said[turn.reference] = {it.order for it in self._past.effects(turn.reference)}
        self._decided[turn.reference] = (*self._decided.get(turn.reference, ()), (turn.place, turn.event.time))
        return True

    def is_plain(self, it: RecordedEvent) -> bool:
        """Whether nothing has been found out about an event of the past yet, but for its cause that leads to it."""
        reference = it.reference
        if reference in self._plain or reference in self._decided:
            return False
        said = None if it.cause is None else self._said.get(it.cause)
        return (said is None or it.order in said) and it.order not in self._seen

    def repeat(self, it: RecordedEvent, place: Place) -> None:
        """An event of the row at `place` was decided as it was, and leads to what it led to."""
        self._plain[it.reference] = it.order, place, it.event.time

    def is_gone(self, it: RecordedEvent) -> bool:
        """Whether a recorded event, whose turn it is, is not in the branch."""
        self._last = NO_EFFECTS
        if it.order in self.removed:
            return True
        said = None if it.cause is None else self._said.get(it.cause)
        if said is None and it.order in self.orphans:
            return True
        return said is not None and it.order not in said and not self._another_says(it)

    def gone(self, was: RecordedEvent, effects: Sequence[RecordedEvent], said: Collection[OrderKey]) -> list[RecordedEvent]:
        """Of what an event of the past may have led to, what it had led to and does not now: it leads to the places `said`."""
        if len(effects) == len(said):
            return []
        found = (it for it in effects if it.order not in said and is_cause(self._past, was, it))
        return [it for it in found if not self._another_says(it)]

    def _another_says(self, it: RecordedEvent) -> bool:
        """Whether an event of its cause's reference that the branch has not reached leads to it."""
        causes = self._past.find_all(it.cause or "")
        return any(self._says(each, it) for each in causes if each.order < it.order and not self.has_seen(each))

    def _says(self, cause: RecordedEvent, it: RecordedEvent) -> bool:
        if it.kind == ANSWER:
            return cause.accepted and it.reference == answer_id(cause.reference)
        refuse_erased(self._past, cause.place)
        try:
            row, _ = self._handlers.fold_all(before(self._past.key_events(cause.place), cause.order))
            said = emitted(self._handlers, cause, row).get(it.reference)
        except CodeChanged:  # what was recorded stands
            return is_cause(self._past, cause, it)
        return said is not None and said[1] == it.event.time and self._handlers.codec.decode(said[0]) == it.event.data

    def miss(self, it: RecordedEvent) -> None:
        self._seen.add(it.order)
        self._missed.add(it.order)
        effects = self.recorded_effects(it.reference)
        behind = (each for each in effects if each.order > it.order)
        self.lead_to(it.reference, (), [*behind, *self.early.of(it, effects)])

    def recorded_effects(self, reference: str) -> Sequence[RecordedEvent]:
        """Those of the past, which are asked for several times while one event has its turn."""
        if self._last[0] != reference:
            self._last = reference, self._past.effects(reference)
        return self._last[1]

    def effects(self, order: OrderKey, turn: BranchTurn) -> list[RecordedEvent]:
        """The records that an event may lead to, whose turn is at `order`: behind it, and taken by no other one.

        With those that stand before it and are its all the same, since a worker's clock was ahead.
        """
        effects = self.recorded_effects(turn.reference)
        if not effects:
            return []
        said, behind = self._said.get(turn.reference, ()), order if turn.was is None else turn.was.order
        early = () if turn.was is None else self.early.of(turn.was, effects)
        found = [it for it in effects if not self.has_seen(it) and it.order not in said and it.order > behind]
        return [*(it for it in early if it.order not in said), *found] if early else found

    def lead_to(self, reference: str, said: Collection[OrderKey], effects: Sequence[RecordedEvent]) -> None:
        """What an event leads to, of `effects`. Another one is looked at when its turn comes: it may be gone."""
        self._said.setdefault(reference, set()).update(said)
        for effect in effects:
            if effect.order not in said and not self.early.take(effect, None):
                self._queue.push(effect.order, effect)

    def move(self, reference: str) -> None:
        """An event leaves the place that it was recorded at."""
        self._moved.add(reference)
        self.removed |= {it.order for it in self._past.find_all(reference)}

    def has_moved(self, turn: BranchTurn) -> bool:
        return turn.was is None and turn.reference in self._moved

    def left_place(self, emission: Event[Any]) -> OrderKey | None:
        """Where an event stands that happened at the same time, or stood before a branch took it away: it goes back there."""
        former = self._past.former(emission.reference)
        return next((it.order for it in former if it.event.time == emission.time), None)

    def has_turned(self, reference: str) -> bool:
        """Whether an event of this reference was decided, or is missing."""
        return reference in self._said

    def is_of(self, turn: BranchTurn, effect: RecordedEvent) -> bool:
        """Whether an effect that is otherwise was that of an event, and not of another one of its reference."""
        cause = cause_of(self._past, effect)
        return cause is None or (cause.order in self._missed if turn.was is None else cause.order == turn.was.order)

    def former_places(self, emission: Event[Any]) -> list[OrderKey] | None:
        """Where an event stands that is emitted, as far as there was one. None: it is there, so this one is a duplicate."""
        former = self._past.former(emission.reference)
        if not former:
            return []
        if len(former) > 1:
            former = [it for it in former if it.event.time == emission.time]
        places = {it.order for it in former}
        there = (it.order for it in self._past.find_all(emission.reference))
        if any(order in places and order not in self._missed for order in there):
            return None
        return sorted(places)
