"""The tables of the read model's file, and what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from streams.app import App
from streams.code_digest import digest_of_package, package_of
from streams.codec import AvroCodec
from streams.data import Record
from streams.namespace import FIRST
from streams.projection import Projection
from streams.server.readmodel.change_log import CHANGE_LOG, begin_changes
from streams.server.readmodel.checkpoints import CHECKPOINTS
from streams.server.readmodel.deleted_rows import DELETED
from streams.server.readmodel.erased_times import ERASED
from streams.server.readmodel.left_out import LEFT_OUT
from streams.server.readmodel.row_columns import RowColumn, columns_of, quoted

FIXED = (
    "create table meta(name text primary key, value) without rowid",
    """create table position(kind text, ns text, part integer, next_offset integer, seq integer, recorded integer,
    marker blob, primary key(kind, ns, part)) without rowid""",
    """create table record(ns text not null, part integer not null, seq integer not null, recorded integer not null,
    time integer, high integer, latest integer, nth integer, key text not null, type text not null, id text not null,
    idh integer not null, causeh integer, kind text not null, ordinal integer not null, accepted integer not null, by text,
    reason text, expected integer, inbox integer not null, value blob not null, headers blob not null,
    primary key(ns, part, seq)) without rowid""",
    "create index record_of_future on record(recorded, ns, part, seq) where time > recorded",
    "create index record_held_back on record(ns, key, time, high, recorded) where high > time",
    """create table aside(ns text not null, part integer not null, place text not null, inbox integer, status text not null,
    recorded integer not null, key text, type text, id text, idh integer, causeh integer, reason text, value blob not null,
    headers blob not null, primary key(ns, part, place)) without rowid""",
    *ERASED,
    "create index aside_by_inbox on aside(ns, part, inbox)",
    "create index aside_by_id on aside(idh)",
    "create index aside_by_cause on aside(causeh) where causeh is not null",
    "create index aside_by_key on aside(ns, key) where key is not null",
    """create table due(ns text not null, part integer not null, id text not null, kind text not null,
    at integer not null, target text not null, key text not null, causeh integer, value blob not null, headers blob not null,
    primary key(ns, part, id)) without rowid""",
    "create index due_by_cause on due(causeh) where causeh is not null",
    "create index due_by_key on due(target, key)",
    """create table duplicate(ns text, part integer, inbox integer, seq integer not null, outcome text not null,
    primary key(ns, part, inbox)) without rowid""",
    "create table schema(id integer primary key, text text not null)",
    "create table stopped(name text primary key, why text not null) without rowid",
    *CHECKPOINTS,
    *LEFT_OUT,
    *CHANGE_LOG,
    *DELETED,
)
INDEXES = (
    "create index if not exists record_by_inbox on record(ns, part, inbox)",
    "create index if not exists record_by_id on record(idh, id)",
    "create index if not exists record_by_key on record(ns, key, seq)",
    "create index if not exists record_by_cause on record(causeh) where causeh is not null",
    "create index if not exists record_by_order on record(recorded, ns, part, seq)",
    "create index if not exists record_of_steps on record(ns, part, seq) where kind = 'step'",
    "create index if not exists record_without_high on record(recorded, ns, part, seq) where high is null",
)
"""Of log records. A file that is new is read without them: made at the end, they take a third of the time."""
STATISTICS = {
    ("record", "record"): "1000000 300000 80000 1",
    ("record", "record_by_inbox"): "1000000 300000 80000 1",
    ("record", "record_by_id"): "1000000 1 1",
    ("record", "record_by_key"): "1000000 300000 10 1",
    ("record", "record_by_cause"): "1000000 3",
    ("record", "record_by_order"): "1000000 2 1 1 1",
    ("record", "record_of_steps"): "1000 300 80 1",
    ("record", "record_without_high"): "1000000 2 1 1 1",
    ("aside", "aside"): "100000 30000 8000 1",
    ("aside", "aside_by_inbox"): "100000 30000 8000 1",
    ("aside", "aside_by_id"): "100000 1",
    ("aside", "aside_by_key"): "100000 30000 10",
    ("due", "due"): "100000 30000 8000 1",
    ("due", "due_by_key"): "100000 30000 10",
}
"""By table and index, or by table twice for its primary key: how many rows there are, and how many share the first column, the
first two, and so on. Without them SQLite reads all of a partition for one offset, or all of a namespace for one key: it takes few
rows for granted, and a primary key needs no second look-up."""


def row_table(namespace: str) -> str:
    return quoted(f"r_{namespace}")


def projection_table(name: str) -> str:
    return quoted(f"p_{name}")


def beside(name: str) -> str:
    """The table into which a projection is folded again. No name has a space, so no other table is called so."""
    return quoted(f"p_{name} again")


def rows_beside(namespace: str) -> str:
    """The table into which rows are read again. No name has a space, so no other table is called so."""
    return quoted(f"r_{namespace} again")


def statements(app: App) -> Iterable[str]:
    """What makes the file of an application."""
    yield from FIXED
    yield "analyze"  # makes the table of statistics
    for (table, index), numbers in STATISTICS.items():
        yield f"insert into sqlite_stat1(tbl, idx, stat) values('{table}', '{index}', '{numbers}')"
    yield "analyze sqlite_schema"  # and reads it
    for space in app.namespaces:
        yield table_statement(row_table(space.name), space.row_type)
        yield unreadable_statement(space.name)
        yield begin_changes(row_table(space.name))
    for projection in app.projections:
        yield table_statement(projection_table(projection.name), projection.row_type)
        yield begin_changes(projection_table(projection.name))


def unreadable_statement(namespace: str) -> str:
    name = quoted(f"unreadable_{namespace}")
    return f"create index {name} on {row_table(namespace)}(key) where problem is not null"


def table_statement(name: str, row_type: type[Record]) -> str:
    """`body` is the JSON that is served; `raw` is Avro, where it says more than JSON; `problem` says why a row does not read."""
    fields = "".join(f", {column.name} {column.affinity}" for column in columns_of(row_type))
    return (
        f"create table {name}(id integer primary key, key text not null unique, part integer, version integer, body blob, "
        f"raw blob, problem text{fields})"
    )


def put_statement(table: str, columns: Sequence[RowColumn], *, readable: bool = False) -> str:
    """Takes key, part, version, body and the columns; then, unless they are null since it is `readable`, raw and problem."""
    names = ["part", "version", "body", *(column.name for column in columns)]
    values, changes = "?" + ", ?" * len(names), [f"{name} = excluded.{name}" for name in names]
    if readable:
        changes += ["raw = null", "problem = null"]
    else:
        names += ["raw", "problem"]
        values += ", ?, ?"
        changes += ["raw = excluded.raw", "problem = excluded.problem"]
    return (
        f"insert into {table}(key, {', '.join(names)}) values({values}) on conflict(key) do update set {', '.join(changes)}"
    )


def fingerprints(app: App, codec: AvroCodec) -> dict[str, str]:
    """By table, the schema and generation of its rows, and which columns it has of parts: with another one all is read again."""
    found = {
        f"r_{it.name}": f"{codec.newest_id(it.row_type)}{_inner(it.row_type)}{_generation(it.generation)}" for it in app.namespaces
    }
    return found | {f"p_{it.name}": f"{_shape(it.row_type)}{_inner(it.row_type)}" for it in app.projections}


def sources(app: App) -> dict[str, str]:
    """By projection, a digest of the sources of the application's package: with another one it is folded again."""
    return {it.name: _sources(it) for it in app.projections}


def _generation(generation: int) -> str:
    return "" if generation == FIRST else f"/{generation}"


def _inner(row_type: type[Record]) -> str:
    """Of the columns of fields inside parts, which files had not once; empty if there are none."""
    names = [column.field for column in columns_of(row_type) if len(column.of.path) > 1]
    return f".{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}" if names else ""


def _shape(row_type: type[Record]) -> str:
    return hashlib.sha256("".join(row_type.schemas).encode()).hexdigest()[:16]


def _sources(projection: Projection[Record]) -> str:
    """A digest of the packages that its functions are from."""
    packages = {package_of(function.__module__) for pair in projection.folds_by.values() for function in pair}
    types = sorted(event.event_type for event in projection.folds_by)
    return hashlib.sha256("".join([*types, *(digest_of_package(name) for name in sorted(packages))]).encode()).hexdigest()[:16]
