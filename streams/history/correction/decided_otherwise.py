"""What code decides otherwise than was recorded, as a change: what that has led to in other rows is made up for by a correction.

Rows that are rebuilt are folded with what was recorded. An event that is refused now leaves its own row as it was, and what it had
led to elsewhere stays, until it is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from streams.engine.readable import named
from streams.engine.records import Entry
from streams.errors import CodeChanged, InvalidChange
from streams.history.branch.branch import replay_difference
from streams.history.branch.branch_calls import as_it_answered
from streams.history.branch.branch_emissions import BranchEmission, emissions_of
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.difference.difference import EVENTS, OUTCOME, RAISES, UNHANDLED
from streams.history.past import Past, cause_of, is_cause
from streams.history.recorded_event import ANSWER, STEP, RecordedEvent
from streams.history.story.waiting import NothingWaits, Waiting

NOTHING_WAITS: Waiting = NothingWaits()


class RebuiltRows(LocalCode):
    """Rows as a rebuild leaves them, of a past.

    `otherwise` has the exact names of events of one namespace that are refused there, though accepted, or that lead there to
    something else than they have led to, or to more. `waiting` knows what they have led to and was not handled yet.
    """

    def __init__(self, past: Past, handlers: ApplicationHandlers, namespace: str, waiting: Waiting) -> None:
        super().__init__(handlers)
        self._past, self._namespace, self._waiting = past, namespace, waiting
        self.otherwise: set[str] = set()

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        try:
            folded = super().fold(entry, it)
        except CodeChanged:
            if it.kind == STEP or it.namespace != self._namespace:
                raise
            self.otherwise.add(it.exact_name)
            self.emit_nothing()
            return entry
        if it.kind != STEP and it.namespace == self._namespace and self._leads_elsewhere(it):
            self.otherwise.add(it.exact_name)
        return folded

    def _leads_elsewhere(self, it: RecordedEvent) -> bool:
        """Whether it does not lead to something that it has led to, or leads to what is neither in the log nor waits."""
        effects = [each for each in self._past.effects(it.reference) if each.kind != ANSWER and is_cause(self._past, it, each)]
        handler = self.handlers.handler_of(it.namespace, it.event)
        if not (effects or self._emissions) or handler is None or handler.function is None:
            return False
        emissions = emissions_of(self.handlers, handler, it.event, self._emissions, effects)
        if sum(each.same for each in emissions) < len(effects):
            return True
        more = {each.reference for each in emissions if each.recorded is None and self._would_be_known(each)}
        return not more <= {each.id for each in self._waiting.caused_by(it.reference)} if more else False

    def _would_be_known(self, emission: BranchEmission) -> bool:
        """Whether it would be in the log by now, or wait: it is no other application's, and nothing of its row is gone."""
        place = emission.namespace, emission.event.key
        return emission.namespace in self.handlers.spaces and self._past.first_erased(place) is None


def decided_otherwise(
    past: Past, handlers: ApplicationHandlers, namespace: str, waiting: Waiting = NOTHING_WAITS, *, assume_answers: bool = False,
    earlier: Sequence[Change] = (),
) -> Change:  # fmt: skip
    """The change that has events of a namespace decided again; it may be empty.

    These are those that are decided otherwise on rows as a rebuild leaves them, also as a consequence of others, or that lead to
    more. What is in an inbox still counts as more: it is handled before a correction looks what to set.

    `assume_answers` as for a plan. Requests of this namespace that newer code asks otherwise since an `earlier` correction,
    and that were left without the answers that they had, are then among them.

    Raises InvalidChange if a handler raises at one, or there is none for it: nobody knows then what it would have led to.
    HistoryError.
    """
    rows, names = RebuiltRows(past, handlers, namespace, waiting), set[str]()
    for it in replay_difference(past, rows, handlers, answers=as_it_answered if assume_answers else None).origins:
        was = it.recorded
        if was.namespace != namespace:
            continue
        if it.kind in (RAISES, UNHANDLED):
            why = "raises" if it.kind == RAISES else "has no handler"
            raise InvalidChange(
                f"what {was.event_type} of {named(was.key)!r}, {was.name}, would have led to is not known: it {why} with the code "
                "here. Correct that first"
            )
        if it.kind in (OUTCOME, EVENTS) or it.emitted_then or it.emitted_now:
            names.add(was.exact_name)
    if assume_answers:
        names |= _left_without_answers(past, namespace, {name for change in earlier for name in change.again})
    return Change(again=frozenset(names | rows.otherwise))


def _left_without_answers(past: Past, namespace: str, decided_again: Set[str]) -> set[str]:
    """Those of events that were `decided_again`: what was corrected in its data may have asked for another amount, and rightly."""
    asked = (it for reference in past.aside.unanswered if past.former_answer(reference) for it in past.find_all(reference))
    return {
        it.exact_name for it in asked
        if it.has_position and (cause := cause_of(past, it)) is not None
        and cause.namespace == namespace and cause.exact_name in decided_again
    }  # fmt: skip
