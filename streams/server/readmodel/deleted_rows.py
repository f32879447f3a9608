"""The versions of rows that workers have deleted, while a table is read for the first time: one that was built may come behind.

They are in the file, since there may be many, and since a reading that is interrupted goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from streams.history.recorded_event import NamespacePartition
from streams.server.readmodel.transaction import transaction

DELETED: Final = (
    """create table deleted(ns text not null, part integer not null, key text not null, version integer not null,
    primary key(ns, part, key)) without rowid""",
)


class DeletedRows:
    """Those of all tables of a file. Used by the thread that writes it, outside of any transaction. Raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def note(self, partition: NamespacePartition, versions: Mapping[str, int]) -> None:
        """By key. To be noted before it is in the file that these records were read; to note them twice changes nothing."""
        with transaction(self._db):
            values = [(*partition, key, version) for key, version in versions.items()]
            self._db.executemany("insert or replace into deleted values(?, ?, ?, ?)", values)

    def version(self, partition: NamespacePartition, key: str) -> int:
        """0 if it was not deleted."""
        text = "select version from deleted where ns = ? and part = ? and key = ?"
        found = self._db.execute(text, (*partition, key)).fetchone()
        return 0 if found is None else int(found[0])

    def forget(self, partition: NamespacePartition) -> None:
        """Its table is read: what is built comes before it counts."""
        self._db.execute("delete from deleted where ns = ? and part = ?", partition)
