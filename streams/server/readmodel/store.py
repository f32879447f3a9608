"""The read model's file as a whole, for its one writer: opened, compared with Kafka, and given up where it is doubtful."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from streams.app import App
from streams.code_digest import code_of
from streams.codec import AvroCodec
from streams.history.branch.folded_otherwise import FoldedOtherwise
from streams.history.stored.past_file import StoreIdentity
from streams.history.stored.stored_past import noted_frontier
from streams.kafka.messages import Decoder
from streams.kafka.topics import TopicInfo
from streams.namespace import Namespace
from streams.server.readmodel.change_log import begin_changes_anew
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.corrected_note import note_folded
from streams.server.readmodel.fitted_tables import fit_tables, log_ends, note_identity, reshaped_tables
from streams.server.readmodel.left_out import HistoryLimit
from streams.server.readmodel.projection_rebuild import ProjectionRebuild
from streams.server.readmodel.row_indexes import all_index_statements, fit_indexes, make_indexes
from streams.server.readmodel.rows_at_limit import keep_rows
from streams.server.readmodel.store_file import OpenStore, StoreFolder
from streams.server.readmodel.store_meta import meta_value, set_meta
from streams.server.readmodel.store_schema import (
    INDEXES,
    fingerprints,
    row_table,
    rows_beside,
    sources,
    statements,
    unreadable_statement,
)
from streams.server.readmodel.store_writer import AGAIN, StoreWriter, begin_reread
from streams.server.readmodel.transaction import transaction

log = logging.getLogger("retold.server")
Topics = dict[str, tuple[str, int]]
"""Id and number of partitions by name."""


class StoreDoubt(Exception):
    """Why a file is no cache of the topics that there are."""


class Store:
    """Raises sqlite3.Error. `partitions` has their number by namespace, empty until it is known."""

    def __init__(
        self, state: Path, prefix: str, app: App, codec: AvroCodec, *, yields: bool = False, history: float | None = None
    ) -> None:
        """`yields` as in StoreFolder, `history` as the setting: s. Raises ConfigError for a folder that cannot be used."""
        self._folder = StoreFolder(state, prefix, yields=yields)
        self._app, self._codec, self.limit = app, codec, HistoryLimit(history)
        self.row_types = {space.name: space.row_type for space in app.namespaces}
        self._identity = StoreIdentity(app.name, prefix, fingerprints(app, codec))
        self._sources, self._code = sources(app), code_of(app, codec)
        self.changed: list[str] = []
        """Projections whose code has changed since they were folded, or the schema of their rows."""
        self.reread: list[str] = []
        """Namespaces whose rows have another schema than in the file: they are read again beside those."""
        self.reshaped: list[str] = []
        """Those of both whose rows in the file have another schema."""
        self.missing: Sequence[str] = []
        """Namespaces that are read, and projections that are folded, for the first time: nothing of them is to be answered."""
        self.held: dict[str, dict[str, int]] = {}
        """By projection in `changed` up to which sequence of each partition, such as `user-3`, its rows are folded."""
        self._opened: OpenStore | None = None
        self.partitions: dict[str, int] = {}
        self.is_complete = False
        """Whether all that there was has been read once: until then nothing is answered from it."""

    @property
    def file(self) -> Path:
        return self._folder.file

    def is_wanted(self) -> bool:
        """Whether a server waits for it."""
        return self._folder.is_wanted()

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._opened is not None, "opened by `open`"
        return self._opened.db

    def open(self) -> bool:
        """Open the file unless it is open; returns whether it was not. One of which this fails is not open, and is opened anew."""
        if self._opened is not None:
            return False
        try:
            self._open()
        except BaseException:  # open by half, it would go on without knowing what of it has changed
            self._give_up()
            raise
        return True

    def _open(self) -> None:
        self._opened = self._folder.open(self._identity, statements(self._app))
        if self.limit.asks_for_more(self._opened.db):
            log.warning("the read model is read again from Kafka: the setting history asks for more than was kept")
            self.drop()
            self._opened = self._folder.open(self._identity, statements(self._app))
        self._set(history=self.limit.seconds)
        meta = dict(self._db.execute("select name, value from meta").fetchall())
        counts = msgspec.json.decode(meta.get("partitions") or b"{}", type=dict[str, int])
        self.partitions = {name: count for name, count in counts.items() if name in self.row_types}
        self.is_complete = bool(meta.get("complete"))
        if self._opened.fresh:
            self._set(sources=msgspec.json.encode(self._sources))
            self.reshaped, self.reread, self.changed, self.missing, self.held = [], [], [], [], {}
            return
        with transaction(self._db):
            self.missing = fit_tables(self._db, self._app)
        self.reshaped = reshaped_tables(self._db, self._identity)
        if self.is_complete:
            self._opened.make_indexes(fit_indexes(self._db, self._app, self.reshaped))
        self.reread = [name for name in self.row_types if name in self.reshaped]
        known = msgspec.json.decode(meta.get("sources") or b"{}", type=dict[str, str])
        held = msgspec.json.decode(meta.get("held") or b"{}", type=dict[str, dict[str, int]])
        self.changed = [
            name for name, of in self._sources.items() if known.get(name) != of or name in self.reshaped or name in held
        ]  # also one whose code is again what it was: nothing was folded into it meanwhile
        self._hold(held)

    def _hold(self, held: dict[str, dict[str, int]]) -> None:
        """Note where the rows of changed projections end: what comes from now on is not folded into them."""
        ends = log_ends(self._db)
        self.held = {name: held.get(name, {} if name in self.missing else {**ends}) for name in self.changed}
        self._set(held=msgspec.json.encode(self.held))

    def begin_rebuild(self, names: Iterable[str], decoder: Decoder, otherwise: FoldedOtherwise) -> ProjectionRebuild:
        """Fold projections again, with what is `otherwise`, beside those that there are until `finish_rebuild`."""
        at = [(name, number) for name, count in self.partitions.items() for number in range(count)]
        return ProjectionRebuild(self._db, self._app, self._codec, decoder, names, at, otherwise)

    def finish_rebuild(self, rebuild: ProjectionRebuild, writer: StoreWriter) -> None:
        """All that is in the file is folded, and the writer has nothing that is not."""
        names = rebuild.names
        reshaped, changed = ([name for name in of if name not in names] for of in (self.reshaped, self.changed))
        held = {name: of for name, of in self.held.items() if name not in names}
        kept = {name: self._sources[name] for name in self._sources if name not in changed}
        with transaction(self._db):
            rebuild.swap()
            self._set(sources=msgspec.json.encode(kept), held=msgspec.json.encode(held))
            note_folded(self._db, rebuild.digests)
            note_identity(self._db, self._identity, reshaped)
        missing = [name for name in self.missing if name not in names]
        self.changed, self.reshaped, self.held, self.missing = changed, reshaped, held, missing
        writer.folded_again(names)

    def refuse_deleted(self) -> None:
        """Raises StoreDoubt if somebody deleted the file, or its folder, while it is written."""
        if self._opened is not None and self._opened.is_deleted():
            raise StoreDoubt(f"{self.file}, or its journal, was deleted while it was written")

    def compare(self, topics: Mapping[str, TopicInfo], partitions: Mapping[str, int]) -> bool:
        """Whether nothing was read yet: then it is of these topics from now on. Raises StoreDoubt if it is of others."""
        now: Topics = {name: (info.id, info.partitions) for name, info in topics.items()}
        kept = meta_value(self._db, "topics")
        if kept is not None:
            known, new = msgspec.json.decode(kept, type=Topics), partitions.keys() - self.partitions
            if wrong := [name for name, info in now.items() if known.get(name, info if new else None) != info]:
                raise StoreDoubt(f"the topic {wrong[0]} is another one than it was read from")
            if partitions.keys() == self.partitions.keys():
                return False
        self._set(topics=msgspec.json.encode(now), partitions=msgspec.json.encode(partitions))
        self.partitions = dict(partitions)
        return True

    @property
    def new_namespaces(self) -> Set[str]:
        """Those that are read for the first time."""
        return self.row_types.keys() & self.missing

    @property
    def frontier(self) -> int:
        """Up to when (µs since 1970) nothing can change any more, as far as that was noted."""
        return noted_frontier(self._db) or 0

    def writer(self) -> StoreWriter:
        """A new one, which stands where the file ends, also in rows that are read again for the same schema."""
        known = msgspec.json.decode(meta_value(self._db, "reread") or b"{}", type=dict[str, str])
        wanted = {name: self._identity.fingerprints[f"r_{name}"] for name in self.reread}
        if known != wanted:
            with transaction(self._db):
                begin_reread(self._db, self.row_types, {name for name in wanted if known.get(name) != wanted[name]}, wanted)
                self._set(reread=msgspec.json.encode(wanted))
        return StoreWriter(self._db, self._app, self._codec, self.reread, self.changed, self.limit.before())

    def exchange(self, namespace: str, writer: StoreWriter) -> None:
        """Put rows that are read again, all of which are committed, in the place of those before."""
        reshaped = [name for name in self.reshaped if name != namespace]
        with transaction(self._db):
            _exchange_rows(self._db, self._app.namespace(namespace))
            note_identity(self._db, self._identity, reshaped)
        self.reread, self.reshaped = [name for name in self.reread if name != namespace], reshaped
        self.missing = [name for name in self.missing if name != namespace]
        writer.exchanged(namespace)

    def completed(self) -> None:
        """All that there was has been read: with its indexes, answers can be given from it."""
        if not self.is_complete and self._opened is not None:
            self._opened.end_first_reading((*INDEXES, *all_index_statements(self._app).values()))
            self._set(complete=1)
            self.is_complete = True

    def write(self, function: Callable[[sqlite3.Connection], None]) -> None:
        """Let a function write what follows from what was read, in transactions of its own; nothing does before all was read."""
        if self.is_complete:
            function(self._db)

    def make_checkpoints(self, deadline: float) -> None:
        """Keep rows of the past that are due, until `deadline` (of the monotonic clock) at most."""
        self.write(lambda db: make_checkpoints(db, self._app, self._codec, self._code, deadline))
        self.write(lambda db: keep_rows(db, self._app, self._codec, deadline))

    def _set(self, **values: object) -> None:
        set_meta(self._db, **values)

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


def _exchange_rows(db: sqlite3.Connection, of: Namespace[Any]) -> None:
    """Within a transaction: what was read beside a table takes its place, with its positions."""
    table = row_table(of.name)
    db.execute(f"drop table {table}")
    db.execute(f"alter table {rows_beside(of.name)} rename to {table}")
    db.execute(unreadable_statement(of.name))
    make_indexes(db, of)
    begin_changes_anew(db, table)
    for kind, again in AGAIN.items():
        db.execute("delete from position where kind = ? and ns = ?", (kind, of.name))
        db.execute("update position set kind = ? where kind = ? and ns = ?", (kind, again, of.name))
