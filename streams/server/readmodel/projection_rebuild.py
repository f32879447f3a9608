"""Folds projections again whose code has changed, from the logs in the file, beside what is answered meanwhile."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from streams.app import App
from streams.engine.records import Codec
from streams.event import Event
from streams.kafka.messages import LogReader
from streams.projection import Projection
from streams.server.readmodel.kept_records import event_of_record
from streams.server.readmodel.store_schema import beside, projection_table, table_statement
from streams.server.readmodel.stored_projection import StoredProjection

PIECE = 5_000
"""Events that are folded in one transaction."""


class Stopping(Exception):
    """The server stops; the next start begins again."""


def rebuild(
    db: sqlite3.Connection, app: App, codec: Codec, names: Sequence[str], tell: Callable[[int], None], stopped: Callable[[], bool]
) -> None:
    """Fold them, in the order of recorded time, into tables beside theirs. `swap` puts these in their place.

    `tell` is given the percentage that is done. Raises UnsupportedSchema for an event whose schema is not known here, Stopping,
    and sqlite3.Error.
    """
    chosen = [it for it in app.projections if it.name in names]
    for it in chosen:
        db.execute(f"drop table if exists {beside(it.name)}")
        db.execute(table_statement(beside(it.name), it.row_type))
    folding = [StoredProjection(db, it, codec, None, beside(it.name)) for it in chosen]
    [total] = db.execute("select count(*) from record").fetchone()
    for done, (event, where) in enumerate(_events(db, codec, chosen), 1):
        for each in folding:
            each.fold(event, where)
        if done % PIECE == 0:
            _write(db, folding)
            tell(min(99, done * 100 // max(1, total)))
            if stopped():
                raise Stopping
    _write(db, folding)


def swap(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """Within a transaction: what was folded beside takes the place of the tables before."""
    for name in names:
        db.execute(f"drop table if exists {projection_table(name)}")
        db.execute(f"alter table {beside(name)} rename to {projection_table(name)}")


def _write(db: sqlite3.Connection, folding: Sequence[StoredProjection]) -> None:
    db.execute("begin immediate")
    for each in folding:
        each.write(db)
    db.execute("commit")


def _events(db: sqlite3.Connection, codec: Codec, projections: Sequence[Projection[Any]]) -> Iterator[tuple[Event[Any], str]]:
    """The accepted events that any of them folds, of all logs by time (rule 18)."""
    types = sorted({event.event_type for it in projections for event in it.folds_by})
    partitions = db.execute("select distinct ns, part from record").fetchall()
    reader = LogReader(codec)
    for _, namespace, part, sequence, key, value, packed in heapq.merge(*(_of(db, ns, number, types) for ns, number in partitions)):
        event = event_of_record(reader, (namespace, part), sequence, key, value, packed)
        if event is not None:
            yield event.event, f"{namespace}-{part}:{sequence}"


def _of(db: sqlite3.Connection, namespace: str, part: int, types: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    text = (
        "select recorded, ns, part, seq, key, value, headers from record where ns = ? and part = ? and accepted "
        f"and type in ({', '.join('?' * len(types))}) order by seq"
    )
    yield from db.execute(text, (namespace, part, *types))
