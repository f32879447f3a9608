"""What code decides otherwise than was recorded, as a change: what that has led to in other rows is made up for by a correction.

Rows that are rebuilt are folded with what was recorded. An event that is refused now leaves its own row as it was, and what it had
led to elsewhere stays, until it is decided again.
"""

from __future__ import annotations

from streams.engine.readable import named
from streams.engine.records import Entry
from streams.errors import CodeChanged, InvalidChange
from streams.history.branch.branch import replay_difference
from streams.history.branch.branch_emissions import emissions_of
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.difference.difference import EVENTS, OUTCOME, RAISES, UNHANDLED
from streams.history.past import Past, is_cause
from streams.history.recorded_event import ANSWER, STEP, RecordedEvent


class RebuiltRows(LocalCode):
    """Rows as a rebuild leaves them, of a past.

    `otherwise` has the exact names of events of one namespace that are refused there, though accepted, or that lead there to
    something else than they have led to.
    """

    def __init__(self, past: Past, handlers: ApplicationHandlers, namespace: str) -> None:
        super().__init__(handlers)
        self._past, self._namespace = past, namespace
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
        """Whether it does not lead to something that it has led to. What it leads to beside may be on its way."""
        effects = [each for each in self._past.effects(it.reference) if each.kind != ANSWER and is_cause(self._past, it, each)]
        handler = self.handlers.handler_of(it.namespace, it.event)
        if not effects or handler is None or handler.function is None:
            return False
        same = sum(each.same for each in emissions_of(self.handlers, handler, it.event, self._emissions, effects))
        return same < len(effects)


def decided_otherwise(past: Past, handlers: ApplicationHandlers, namespace: str) -> Change:
    """The change that has events of a namespace decided again; it may be empty.

    These are those that are decided otherwise on rows as a rebuild leaves them, also as a consequence of others. Raises
    InvalidChange if a handler raises at one, or there is none for it: nobody knows then what it would have led to. HistoryError.
    """
    rows, names = RebuiltRows(past, handlers, namespace), set[str]()
    for it in replay_difference(past, rows, handlers).origins:
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
    return Change(again=frozenset(names | rows.otherwise))
