"""The tables of a file, fitted to an application that has other namespaces or projections than when it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from streams.app import App
from streams.data import Record
from streams.history.past_file import StoreIdentity
from streams.server.readmodel.row_columns import quoted
from streams.server.readmodel.store_schema import rows_beside, table_statement, unreadable_statement

MISSING = ""
"""The fingerprint of a table whose rows were never made."""
BY_NAMESPACE = ("record", "checkpoint", "erased", "aside", "due", "duplicate", "position")


def known_identity(db: sqlite3.Connection) -> StoreIdentity:
    """What the file is of, and the schemas that its tables have. Raises sqlite3.Error."""
    [kept] = db.execute("select value from meta where name = 'identity'").fetchone()
    return msgspec.json.decode(kept, type=StoreIdentity)


def fit_tables(db: sqlite3.Connection, app: App) -> None:
    """Within a transaction: remove what is of namespaces and projections that are gone, and make tables for new ones.

    Raises sqlite3.Error.
    """
    known, there = known_identity(db), _tables(app)
    kept = {name: of for name, of in known.fingerprints.items() if name in there}
    for name in known.fingerprints.keys() - kept.keys():
        db.execute(f"drop table if exists {quoted(name)}")
        db.execute("delete from stopped where name = ?", (name[2:],))
        if name.startswith("r_"):
            db.execute(f"drop table if exists {rows_beside(name[2:])}")
            for table in BY_NAMESPACE:
                db.execute(f"delete from {table} where ns = ?", (name[2:],))
    for name in there.keys() - kept.keys():
        db.execute(table_statement(quoted(name), there[name]))
        if name.startswith("r_"):
            db.execute(unreadable_statement(name[2:]))
        kept[name] = MISSING
    if kept != known.fingerprints:
        changed = msgspec.structs.replace(known, fingerprints=kept)
        db.execute("update meta set value = ? where name = 'identity'", (msgspec.json.encode(changed),))


def missing_tables(db: sqlite3.Connection) -> Sequence[str]:
    """Namespaces and projections whose rows were never whole. Raises sqlite3.Error."""
    return [name[2:] for name, of in known_identity(db).fingerprints.items() if of == MISSING]


def _tables(app: App) -> Mapping[str, type[Record]]:
    return {f"r_{it.name}": it.row_type for it in app.namespaces} | {f"p_{it.name}": it.row_type for it in app.projections}
