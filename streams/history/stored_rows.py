"""Rows of a past that is in a file, as of a time: each is folded alone, so that memory holds no table."""

from __future__ import annotations

from collections.abc import Iterator

from streams.data import namespace_of
from streams.engine.records import Entry
from streams.history.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past import refuse_erased
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.stored_past import StoredPast


class StoredRows:
    """The rows of one cut. `read` counts the events that were read for them."""

    def __init__(self, past: StoredPast, cut: Cut, handlers: ApplicationHandlers) -> None:
        self.past, self.handlers = CutPast(past, cut), handlers
        self._whole = past
        self.read = 0

    def entry(self, place: Place) -> Entry:
        """A row and its version; None without a row. Raises HistoryError if it cannot be told."""
        refuse_erased(self.past, place)
        entry: Entry = (None, 0)
        for it in self._whole.key_events_behind(place, 0):
            self.read += 1
            if not self.past.has(it):  # nor does it have any that follows: a cut is a prefix of each key
                break
            entry = self.handlers.fold(entry, it)
        return entry

    def keys(self, namespace: str, behind: str | None = None, *, falling: bool = False) -> Iterator[str]:
        """The keys of a namespace that have ever had an event, in their order, from behind one on."""
        sign, order = ("<", "desc") if falling else (">", "asc")
        first = f"select key from record where ns = ? order by key {order} limit 1"
        following = f"select key from record where ns = ? and key {sign} ? order by key {order} limit 1"
        db = self._whole.db
        found = db.execute(first, (namespace,)) if behind is None else db.execute(following, (namespace, behind))
        while (key := found.fetchone()) is not None:
            yield key[0]
            found = db.execute(following, (namespace, key[0]))

    def untold(self, namespace: str) -> list[str]:
        """The keys of rows that cannot be told, since an event of theirs was erased."""
        return [key for key in self.past.erased_keys(namespace) if self.past.first_erased((namespace, key)) is not None]

    def accepted(self, types: frozenset[str]) -> Iterator[RecordedEvent]:
        """The accepted events of some types, in the total order."""
        known = self.past.cut.known
        namespaces = {namespace_of(name) for name in types}
        for it in self._whole.events_of(namespaces):
            self.read += 1
            if known is not None and it.order.recorded > known:
                return
            if it.accepted and it.event_type in types and self.past.has(it):
                yield it
