"""Tables whose rows are read again beside those that are answered: how far they are, and when they take their place."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from streams.kafka.offsets import TopicAndPartition
from streams.server.readmodel.follower_state import STARTING, FollowerState
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_writer import StoreWriter

log = logging.getLogger("retold.server")

class RereadTables:
    """`tables` has the partitions of each namespace that must be read, and `kinds` the kind of each topic."""

    def __init__(
        self,
        store: Store,
        writer: StoreWriter,
        state: FollowerState,
        kinds: Mapping[str, str],
        tables: Mapping[str, Sequence[TopicAndPartition]],
        ends: Mapping[TopicAndPartition, int],
    ) -> None:
        self._store, self._writer, self._state, self._tables, self._ends = store, writer, state, tables, ends
        self._kinds = kinds
        self.begins: dict[TopicAndPartition, int] = {}
        """Where partitions begin."""

    def exchange(self, left: AbstractSet[TopicAndPartition]) -> bool:
        """Put those in their place of which no partition is `left` to be read; whether there was one."""
        found = False
        for name in self._store.reread:
            ats = self._tables[name]
            if self._writer.has_changes or not left.isdisjoint(ats):
                self._state.rebuilding[name] = self._percent(name, ats)
            else:
                self._store.exchange(name, self._writer)
                self._state.rebuilding.pop(name)
                log.info("the rows of %s are read again", name)
                found = True
        self._state.reshaped, self._state.missing = [*self._store.reshaped], [*self._store.missing]
        again = ", ".join(self._store.reread)
        self._state.behind = f"{again}: new, or of changed rows, and read from all records" if again else STARTING
        return found

    def _percent(self, name: str, ats: Sequence[TopicAndPartition]) -> int:
        total = max(1, sum(self._ends[at] - self.begins.get(at, 0) for at in ats))
        left = sum(self._state.lag((self._kinds[at[0]], name, at[1])) for at in ats)
        return max(0, min(99, 100 - left * 100 // total))
