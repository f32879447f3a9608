"""The tables of a file, fitted to an application that has other namespaces or projections than when it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import msgspec

from streams.app import App
from streams.data import Record
from streams.history.stored.past_file import StoreIdentity
from streams.server.readmodel.change_log import begin_changes, forget_changes
from streams.server.readmodel.row_columns import quoted
from streams.server.readmodel.store_schema import beside, rows_beside, table_statement, unreadable_statement

MISSING = ""
"""The fingerprint of a table whose rows were never made."""
BY_NAMESPACE = ("record", "checkpoint", "erased", "aside", "due", "duplicate", "position", "deleted")


def known_identity(db: sqlite3.Connection) -> StoreIdentity:
    """What the file is of, and the schemas that its tables have. Raises sqlite3.Error."""
    [kept] = db.execute("select value from meta where name = 'identity'").fetchone()
    return msgspec.json.decode(kept, type=StoreIdentity)


def fit_tables(db: sqlite3.Connection, app: App) -> Sequence[str]:
    """Within a transaction: remove what is of namespaces and projections that are gone, and make tables for new ones.

    Returns those whose rows were never whole. Raises sqlite3.Error.
    """
    known, there = known_identity(db), _tables(app)
    kept = {name: of for name, of in known.fingerprints.items() if name in there}
    for name in known.fingerprints.keys() - kept.keys():
        db.execute(f"drop table if exists {quoted(name)}")
        forget_changes(db, quoted(name))
        db.execute("delete from stopped where name = ?", (name[2:],))
        if name.startswith("p_"):
            db.execute(f"drop table if exists {beside(name[2:])}")
        else:
            db.execute(f"drop table if exists {rows_beside(name[2:])}")
            for table in BY_NAMESPACE:
                db.execute(f"delete from {table} where ns = ?", (name[2:],))
    for name in there.keys() - kept.keys():
        db.execute(table_statement(quoted(name), there[name]))
        db.execute(begin_changes(quoted(name)))
        if name.startswith("r_"):
            db.execute(unreadable_statement(name[2:]))
        kept[name] = MISSING
    if kept != known.fingerprints:
        changed = msgspec.structs.replace(known, fingerprints=kept)
        db.execute("update meta set value = ? where name = 'identity'", (msgspec.json.encode(changed),))
    return [name[2:] for name, of in kept.items() if of == MISSING]


def log_ends(db: sqlite3.Connection) -> Mapping[str, int]:
    """The last sequence of each partition, such as `user-3`, that is in the file. Raises sqlite3.Error."""
    found = db.execute("select ns, part, seq from position where kind = 'log'").fetchall()
    return {f"{namespace}-{part}": sequence or 0 for namespace, part, sequence in found}


def reshaped_tables(db: sqlite3.Connection, identity: StoreIdentity) -> list[str]:
    """Those whose rows had another schema when the file was written, or were never made. Raises sqlite3.Error."""
    known = known_identity(db).fingerprints
    return [name[2:] for name, of in identity.fingerprints.items() if known[name] != of]


def note_identity(db: sqlite3.Connection, identity: StoreIdentity, reshaped: Collection[str]) -> None:
    """Within a transaction: what the file is of, in which tables that are `reshaped` have the schema before.

    Raises sqlite3.Error.
    """
    known = known_identity(db).fingerprints
    found = {name: known[name] if name[2:] in reshaped else of for name, of in identity.fingerprints.items()}
    changed = msgspec.structs.replace(identity, fingerprints=found)
    db.execute("update meta set value = ? where name = 'identity'", (msgspec.json.encode(changed),))


def _tables(app: App) -> Mapping[str, type[Record]]:
    return {f"r_{it.name}": it.row_type for it in app.namespaces} | {f"p_{it.name}": it.row_type for it in app.projections}
