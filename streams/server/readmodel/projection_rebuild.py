"""Folds projections again from the logs in the file, beside what is answered, while new records come."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from streams.app import App
from streams.engine.records import Codec
from streams.event import Event
from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE, FoldedOtherwise
from streams.history.recorded_event import NamespacePartition, OrderKey, position_name
from streams.kafka.messages import Decoder, LogReader
from streams.projection import Projection
from streams.server.readmodel.change_log import begin_changes_anew
from streams.server.readmodel.kept_records import event_of_record
from streams.server.readmodel.merge import LogMerger
from streams.server.readmodel.row_indexes import make_indexes
from streams.server.readmodel.store_schema import beside, projection_table, table_statement
from streams.server.readmodel.stored_projection import StoredProjection
from streams.server.readmodel.transaction import transaction

PIECE = 1_000
"""Events of a partition that are folded in one transaction, at most: some ms, so that what is new does not wait for long."""


def types_of(projection: Projection[Any]) -> Set[str]:
    """The names of the events that it folds."""
    return {event.event_type for event in projection.folds_by}


class ProjectionRebuild:
    """Folds in the order of recorded time (rule 18), piece by piece, into tables beside theirs. `swap` puts these in their place.

    Used by the thread that writes the file, outside of any transaction. Raises sqlite3.Error.
    """

    def __init__(
        self, db: sqlite3.Connection, app: App, codec: Codec, decoder: Decoder, names: Iterable[str],
        partitions: Iterable[NamespacePartition], otherwise: FoldedOtherwise = NOTHING_OTHERWISE,
    ) -> None:  # fmt: skip
        """`decoder` decodes the events; `otherwise` is what corrections have made of them, in their place."""
        self.otherwise = otherwise
        self._gone = {order[1:4] for order in otherwise.gone}
        self._come = deque(otherwise.come)
        self.names = [*names]
        self._db, self._reader = db, LogReader(decoder)
        chosen = [it for it in app.projections if it.name in self.names]
        for it in chosen:
            db.execute(f"drop table if exists {beside(it.name)}")
            db.execute(table_statement(beside(it.name), it.row_type))
        self.folding = [StoredProjection(db, it, codec, None, beside(it.name)) for it in chosen]
        self._types = sorted({name for it in chosen for name in types_of(it)})
        self.digests = {it.name: otherwise.of(types_of(it)).digest for it in chosen}
        """Of what each is folded with otherwise than the logs have it."""
        self._read: dict[NamespacePartition, int] = dict.fromkeys(partitions, 0)
        self._merge = LogMerger(self._read, 4 * PIECE * len(self._read))

    def step(self) -> bool:
        """Fold a piece. False if that was all that the file has.

        Raises UnsupportedSchema for an event whose schema is not known here.
        """
        more = False
        for at in self._read:
            if self._merge.low(at):
                found = self._next(at)
                if len(found) < PIECE:
                    self._merge.ended(at)
                else:
                    more = True
        ready, _ = self._merge.ready()
        for recorded, namespace, part, sequence, _, (key, value, packed), _ in ready:
            place = namespace, part, sequence
            self._fold_come(OrderKey(recorded, *place))
            event = event_of_record(self._reader, (namespace, part), sequence, key, value, packed)
            if event is not None and place not in self._gone:
                self._fold(event.event, position_name(*place))
        more = more or any(map(self._merge.waiting, self._read))
        if not more:
            self._fold_come(None)
        with transaction(self._db):
            for each in self.folding:
                each.write(self._db)
        return more

    def _fold_come(self, before: OrderKey | None) -> None:
        """The events that stand before a place, or all, which the logs have not."""
        while self._come and (before is None or self._come[0].order < before):
            it = self._come.popleft()
            self._fold(it.event, it.name)

    def _fold(self, event: Event[Any], where: str) -> None:
        for each in self.folding:
            each.fold(event, where)

    def _next(self, at: NamespacePartition) -> Sequence[tuple[Any, ...]]:
        """Give the merge the next accepted events of a partition that any of them folds."""
        text = (
            "select seq, recorded, key, value, headers from record where ns = ? and part = ? and seq > ? and accepted "
            f"and type in ({', '.join('?' * len(self._types))}) order by seq limit {PIECE}"
        )
        found = self._db.execute(text, (*at, self._read[at], *self._types)).fetchall()
        for sequence, recorded, *rest in found:
            self._merge.add(at, (recorded, *at, sequence, 0, tuple(rest), None))
            self._read[at] = sequence
        return found

    def percent(self, ends: Mapping[NamespacePartition, int]) -> int:
        """How much is done, of logs that go up to these sequences."""
        total = max(1, sum(ends.get(at, 0) for at in self._read))
        return max(0, min(99, sum(self._read.values()) * 100 // total))

    def swap(self) -> None:
        """Within a transaction: what was folded beside takes the place of the tables before, and what stands still is noted."""
        for each in self.folding:
            name = each.projection.name
            self._db.execute(f"drop table if exists {projection_table(name)}")
            self._db.execute(f"alter table {beside(name)} rename to {projection_table(name)}")
            make_indexes(self._db, each.projection)
            begin_changes_anew(self._db, projection_table(name))
            self._db.execute("delete from stopped where name = ?", (name,))
            if each.fault is not None:
                self._db.execute("insert into stopped(name, why) values(?, ?)", (name, each.fault))
