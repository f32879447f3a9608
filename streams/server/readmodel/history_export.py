"""The recorded past in a file of its own, to be carried elsewhere: a continuous integration needs no broker then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from streams.app import App
from streams.errors import ConfigError, HistoryError
from streams.private_files import open_private
from streams.server.readmodel.history_file import HistoryFile, connected
from streams.server.readmodel.store_file import StoreIdentity
from streams.server.readmodel.store_schema import FORMAT

TABLES = ("record", "position", "schema", "meta", "aside", "due", "duplicate", "erased")
"""No rows: they are folded from the records."""


def export(source: HistoryFile, target: Path) -> int:
    """Write the past to a new file, which nobody else can read. Returns its size in bytes. Raises ConfigError."""
    part = target.with_name(f"{target.name}.part")
    try:
        open_private(part).close()
        with closing(sqlite3.connect(part, isolation_level=None)) as out:
            out.execute("attach database ? as past", (str(source.file),))
            _copy(out, source.frontier)
        part.replace(target)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"the past cannot be written to {target}: {error}") from error


def _copy(out: sqlite3.Connection, frontier: int) -> None:
    out.execute("pragma synchronous=off")
    out.execute("begin")
    marks = ", ".join("?" * len(TABLES))
    made = out.execute(f"select type, name, sql from past.sqlite_master where tbl_name in ({marks})", TABLES).fetchall()
    for kind, name, sql in made:
        if kind == "table":
            out.execute(sql)
            out.execute(f'insert into main."{name}" select * from past."{name}"')
    for kind, _, sql in made:
        if kind == "index" and sql is not None:  # one without a text belongs to a primary key
            out.execute(sql)
    out.execute("delete from record where recorded > ?", (frontier,))
    out.execute("insert or replace into meta(name, value) values('frontier', ?)", (frontier,))
    out.execute("commit")


def open_export(file: Path, app: App) -> HistoryFile:
    """A file that `export` has written. Raises HistoryError if it is none, or of another application."""
    if not file.is_file():
        raise HistoryError(f"there is no file {file}: `retold history --export {file}` writes one")
    try:
        with closing(connected(file)) as db:
            meta = dict(db.execute("select name, value from meta").fetchall())
    except sqlite3.Error as error:
        raise HistoryError(f"{file} is no past that was exported: {error}") from error
    try:
        identity = msgspec.json.decode(meta.get("identity") or b"", type=StoreIdentity)
    except msgspec.MsgspecError:
        identity = None
    if identity is None or identity.format != FORMAT:
        raise HistoryError(f"{file} was written by another version of retold: export it again")
    if identity.application != app.name:
        raise HistoryError(f"{file} is the past of the application {identity.application!r}; this is {app.name!r}")
    return HistoryFile(file, int(meta.get("frontier") or 0))
