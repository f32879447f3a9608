"""The tables of projections in a file: those of projections that are gone, and of new ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streams.history.past_file import StoreIdentity
from streams.projection import Projection
from streams.server.readmodel.row_columns import quoted
from streams.server.readmodel.store_schema import projection_table, table_statement

MISSING = ""
"""The fingerprint of a table whose rows were never made."""


def known_identity(db: sqlite3.Connection) -> StoreIdentity:
    """What the file is of, and the schemas that its tables have. Raises sqlite3.Error."""
    [kept] = db.execute("select value from meta where name = 'identity'").fetchone()
    return msgspec.json.decode(kept, type=StoreIdentity)


def fit_projections(db: sqlite3.Connection, projections: Iterable[Projection[Any]]) -> None:
    """Within a transaction: remove the tables of what is gone, and make those of what is new. Raises sqlite3.Error."""
    known, there = known_identity(db), {f"p_{it.name}": it for it in projections}
    kept = {name: of for name, of in known.fingerprints.items() if name in there or not name.startswith("p_")}
    for name in known.fingerprints.keys() - kept.keys():
        db.execute(f"drop table if exists {quoted(name)}")
        db.execute("delete from stopped where name = ?", (name[2:],))
    for name in there.keys() - kept.keys():
        db.execute(table_statement(projection_table(name[2:]), there[name].row_type))
        kept[name] = MISSING
    if kept != known.fingerprints:
        changed = msgspec.structs.replace(known, fingerprints=kept)
        db.execute("update meta set value = ? where name = 'identity'", (msgspec.json.encode(changed),))


def missing_projections(db: sqlite3.Connection) -> Sequence[str]:
    """Those that were never folded to the end of the logs. Raises sqlite3.Error."""
    return [name[2:] for name, of in known_identity(db).fingerprints.items() if of == MISSING]
