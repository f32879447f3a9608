"""The recorded past in a file of its own, to be carried elsewhere: a continuous integration needs no broker then."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from streams.errors import ConfigError
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.sealed_file import seal
from streams.history.stored.stored_corrections import NO_SCHEMAS, put_corrections
from streams.private_files import open_private
from streams.server.readmodel.store_high_water import put_frontier

TABLES = ("record", "position", "schema", "meta", "aside", "due", "duplicate", "erased", "checkpoint", "left_out", "left_out_log")
"""No rows: they are folded from the records. What SQLite chooses an index by goes with them: without it, a key's records are looked
for among all of its namespace."""


def export(
    source: HistoryFile, target: Path, corrections: Sequence[KnownCorrection] = (), schemas: Mapping[int, str] = NO_SCHEMAS
) -> int:
    """Write the past to a new file, which nobody else can read, with its corrections so far, and the schemas of their events.

    Returns its size in bytes. Raises ConfigError.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        open_private(part).close()
        with closing(sqlite3.connect(part, isolation_level=None)) as out:
            out.execute("attach database ? as past", (str(source.file),))
            _copy(out, source.frontier, corrections, schemas)
        seal(part)
        part.replace(target)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"the past cannot be written to {target}: {error}") from error


def _copy(
    out: sqlite3.Connection, frontier: int, corrections: Sequence[KnownCorrection], schemas: Mapping[int, str]
) -> None:
    out.execute("pragma synchronous=off")
    out.execute("begin")
    marks = ", ".join("?" * len(TABLES))
    made = out.execute(f"select type, name, sql from past.sqlite_master where tbl_name in ({marks})", TABLES).fetchall()
    for kind, name, sql in made:
        if kind == "table":
            out.execute(sql)
            out.execute(f'insert into main."{name}" select * from past."{name}"')
    out.execute("analyze main.meta")  # makes the table of statistics
    out.execute("delete from main.sqlite_stat1")
    out.execute(f"insert into main.sqlite_stat1 select * from past.sqlite_stat1 where tbl in ({marks})", TABLES)
    for kind, _, sql in made:
        if kind == "index" and sql is not None:  # one without a text belongs to a primary key
            out.execute(sql)
    out.execute("delete from record where recorded > ?", (frontier,))
    out.execute("delete from checkpoint where recorded > ?", (frontier,))
    put_frontier(out, frontier)
    put_corrections(out, [it for it in corrections if it.known_from <= frontier], schemas)
    out.execute("commit")
