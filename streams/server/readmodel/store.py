"""The read model's file as a whole, for its one writer: opened, compared with Kafka, and given up where it is doubtful."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from streams.app import App
from streams.codec import AvroCodec
from streams.errors import UnsupportedSchema
from streams.kafka.topics import TopicInfo
from streams.server.readmodel.projection_rebuild import rebuild, swap
from streams.server.readmodel.store_file import OpenStore, StoreFolder, StoreIdentity
from streams.server.readmodel.store_schema import (
    INDEXES,
    fingerprints,
    row_table,
    rows_beside,
    sources,
    statements,
    table_statement,
    unreadable_statement,
)
from streams.server.readmodel.store_writer import REREAD, StoreWriter

Topics = dict[str, tuple[str, int]]
"""Id and number of partitions by name."""


class StoreDoubt(Exception):
    """Why a file is no cache of the topics that there are."""


class Store:
    """Raises sqlite3.Error. `partitions` has their number by namespace, empty until it is known."""

    def __init__(self, state: Path, prefix: str, app: App, codec: AvroCodec) -> None:
        """Raises ConfigError for a folder that cannot be used."""
        self._folder = StoreFolder(state, prefix)
        self._app, self._codec = app, codec
        self.row_types = {space.name: space.row_type for space in app.namespaces}
        self._identity = StoreIdentity(app.name, prefix, fingerprints(app, codec))
        self._sources = sources(app)
        self.changed: list[str] = []
        """Projections whose code has changed since they were folded, or the schema of their rows."""
        self.reread: list[str] = []
        """Namespaces whose rows have another schema than in the file: they are read again beside those."""
        self.reshaped: list[str] = []
        """Those of both whose rows in the file have another schema."""
        self._opened: OpenStore | None = None
        self.partitions: dict[str, int] = {}
        self.is_complete = False
        """Whether all that there was has been read once: until then nothing is answered from it."""

    @property
    def file(self) -> Path:
        return self._folder.file

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._opened is not None, "opened by `open`"
        return self._opened.db

    def open(self) -> bool:
        """Open the file unless it is open; returns whether it was not."""
        if self._opened is not None:
            return False
        self._opened = self._folder.open(self._identity, statements(self._app))
        meta = dict(self._db.execute("select name, value from meta").fetchall())
        self.partitions = msgspec.json.decode(meta.get("partitions") or b"{}", type=dict[str, int])
        self.is_complete = bool(meta.get("complete"))
        if self._opened.fresh:
            self._set(sources=msgspec.json.encode(self._sources))
        known = msgspec.json.decode(meta.get("sources") or b"{}", type=dict[str, str])
        self.reshaped = [] if self._opened.fresh else self._reshaped(meta["identity"])
        self.reread = [name for name in self.row_types if name in self.reshaped]
        self.changed = [] if self._opened.fresh else [
            name for name, of in self._sources.items() if known.get(name) != of or name in self.reshaped
        ]
        return True

    def _reshaped(self, identity: bytes) -> list[str]:
        """Tables whose rows had another schema when the file was written."""
        known = msgspec.json.decode(identity, type=StoreIdentity).fingerprints
        return [name[2:] for name, of in self._identity.fingerprints.items() if known[name] != of]

    def _set_identity(self, reshaped: Collection[str]) -> None:
        """Of what is in the file: those that are not made again yet have their former schema."""
        [kept] = self._db.execute("select value from meta where name = 'identity'").fetchone()
        known = msgspec.json.decode(kept, type=StoreIdentity).fingerprints
        found = {name: known[name] if name[2:] in reshaped else of for name, of in self._identity.fingerprints.items()}
        self._set(identity=msgspec.json.encode(msgspec.structs.replace(self._identity, fingerprints=found)))

    def rebuild(self, tell: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        """Fold the projections in `changed` again; until that is done, they are answered as they were.

        Raises StoreDoubt if the file does not have what that needs, and Stopping.
        """
        try:
            rebuild(self._db, self._app, self._codec, self.changed, tell, stopped)
        except UnsupportedSchema as error:
            raise StoreDoubt(f"{', '.join(self.changed)} cannot be folded again from it: {error}") from error
        reshaped = [name for name in self.reshaped if name not in self.changed]
        with self._transaction():
            swap(self._db, self.changed)
            self._db.executemany("delete from stopped where name = ?", [(name,) for name in self.changed])
            self._set(sources=msgspec.json.encode(self._sources))
            self._set_identity(reshaped)
        self.changed, self.reshaped = [], reshaped

    def compare(self, topics: Mapping[str, TopicInfo], partitions: Mapping[str, int]) -> bool:
        """Whether nothing was read yet: then it is of these topics from now on. Raises StoreDoubt if it is of others."""
        now: Topics = {name: (info.id, info.partitions) for name, info in topics.items()}
        [kept] = self._db.execute("select max(value) from meta where name = 'topics'").fetchone()
        if kept is None:
            self._set(topics=msgspec.json.encode(now), partitions=msgspec.json.encode(partitions))
            self.partitions = dict(partitions)
            return True
        known = msgspec.json.decode(kept, type=Topics)
        if wrong := [name for name, info in now.items() if known.get(name) != info]:
            raise StoreDoubt(f"the topic {wrong[0]} is another one than it was read from")
        return False

    def writer(self) -> StoreWriter:
        """A new one, which stands where the file ends; rows that are read again begin anew."""
        for name in self.reread:
            self._db.execute(f"drop table if exists {rows_beside(name)}")
            self._db.execute(table_statement(rows_beside(name), self.row_types[name]))
        self._db.execute("delete from position where kind = ?", (REREAD,))
        return StoreWriter(self._db, self._app, self._codec, self.reread)

    def exchange(self, namespace: str, writer: StoreWriter) -> None:
        """Put rows that are read again, all of which are committed, in the place of those before."""
        reshaped = [name for name in self.reshaped if name != namespace]
        with self._transaction():
            self._db.execute(f"drop table {row_table(namespace)}")
            self._db.execute(f"alter table {rows_beside(namespace)} rename to {row_table(namespace)}")
            self._db.execute(unreadable_statement(namespace))
            self._db.execute("delete from position where kind = 'table' and ns = ?", (namespace,))
            self._db.execute("update position set kind = 'table' where kind = ? and ns = ?", (REREAD, namespace))
            self._set_identity(reshaped)
        self.reread, self.reshaped = [name for name in self.reread if name != namespace], reshaped
        writer.exchanged(namespace)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def completed(self) -> None:
        """All that there was has been read: with its indexes, answers can be given from it."""
        if not self.is_complete:
            assert self._opened is not None, "opened by `open`"
            self._opened.make_indexes(INDEXES)
            self._set(complete=1)
            self.is_complete = True

    def write(self, function: Callable[[sqlite3.Connection], None]) -> None:
        """Let a function write what follows from what was read; it begins and commits its own transactions.

        Until all that there was has been read once, nothing follows from it, and there are no indexes to find records by.
        """
        if self.is_complete:
            function(self._db)

    def _set(self, **values: object) -> None:
        self._db.executemany("insert or replace into meta(name, value) values(?, ?)", values.items())

    def drop(self) -> None:
        """Delete the file: the next `open` makes another one."""
        self._give_up()
        self._folder.delete()

    def put_aside(self) -> None:
        """The same, and the file is kept beside the next one."""
        self._give_up()
        self._folder.put_aside()

    def _give_up(self) -> None:
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.db.close()
        self._opened = None
        self.partitions, self.is_complete = {}, False

    def close(self) -> None:
        """Cleanly, and let another server have the folder."""
        try:
            if self._opened is not None:
                self._opened.close()
        finally:
            self._opened = None
            self._folder.release()
