"""The file of a past: a server's, or one that was exported. How it is known, and how it is opened to be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from streams.app import App
from streams.errors import UNREADABLE_JSON, HistoryError
from streams.history.stored.sealed_file import is_whole

FORMAT = 13
"""Of the file: another one is read again from Kafka."""


class StoreIdentity(msgspec.Struct, frozen=True):
    """What a file is of: another one is not believed. `fingerprints` is by table."""

    application: str
    prefix: str
    fingerprints: Mapping[str, str]
    format: int = FORMAT


class HistoryFile(msgspec.Struct, frozen=True):
    """A file that has all that was committed when it was asked for.

    `frontier` (µs since 1970): nothing that was recorded until then can change any more (rule 18). `stuck` says which logs
    could not be read to their ends, and why. `of_server`: a running server writes it.
    """

    file: Path
    frontier: int
    stuck: Sequence[str] = ()
    of_server: bool = False

    def connect(self, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
        """A connection that reads the file as it is at one moment; what its server erases or leaves out later is there.

        To be closed soon, since the file's journal grows meanwhile. Raises HistoryError if it cannot be read.
        """
        db = connected(self.file, kind)
        db.execute("begin")
        return db


def connected(file: Path, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    address = f"file:{quote(str(file))}?mode=ro"
    try:
        db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=10.0, factory=kind)
        db.execute("pragma query_only=on")
        db.execute("pragma mmap_size=2147483648")
    except sqlite3.Error as error:
        raise HistoryError(f"the file {file} cannot be read: {error}") from error
    return db


def open_export(file: Path, app: App) -> HistoryFile:
    """A file that `retold history --export` has written. Raises HistoryError if it is none, damaged, or of another application.

    All of it is read once, for its checksum: 2 GB took a second.
    """
    if not file.is_file():
        raise HistoryError(f"there is no file {file}: `retold history --export {file}` writes one")
    try:
        if not is_whole(file):
            raise HistoryError(f"the file {file} is damaged (its checksum is of other bytes): copy it again, or export it again")
        with closing(connected(file)) as db:
            meta = dict(db.execute("select name, value from meta").fetchall())
    except OSError as error:
        raise HistoryError(f"the file {file} cannot be read: {error}") from error
    except sqlite3.Error as error:
        raise HistoryError(f"{file} is no past that was exported: {error}") from error
    try:
        identity = msgspec.json.decode(meta.get("identity") or b"", type=StoreIdentity)
    except UNREADABLE_JSON:
        identity = None
    if identity is None or identity.format != FORMAT:
        raise HistoryError(f"{file} was written by another version of retold: export it again")
    if identity.application != app.name:
        raise HistoryError(f"{file} is the past of the application {identity.application!r}; this is {app.name!r}")
    return HistoryFile(file, int(meta.get("frontier") or 0))
