"""Connections that read the file, kept for the next reader: opening one takes longer than most answers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

READING = ("query_only=on", "mmap_size=2147483648", "cache_size=-4096", "temp_store=memory")
"""What is mapped is cached by the system for all readers together, so a connection needs little memory of its own."""


FOUND_TORN = "torn"
"""A file beside it: a reader has found it torn."""


class StoreAway(Exception):
    """There is no file to be read yet, or not any more."""


class OpenedFile(NamedTuple):
    """A file that is read. `generation` differs from one to the next, also where they have the same name."""

    path: str
    generation: int


class StoreReaders:
    """Used by all threads. A connection belongs to one reader at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: str | None = None
        self._generation = 0
        self._named: OpenedFile | None = None
        self._idle: list[sqlite3.Connection] = []

    def open(self, file: str | None) -> None:
        """Read this file from now on, also if it is another one of the same name; None: there is none."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._file, self._generation = file, self._generation + 1
        for db in idle:
            db.close()

    def opened(self) -> OpenedFile:
        """The file that is read. Raises StoreAway if there is none."""
        with self._lock:
            if self._file is None:
                raise StoreAway
            return OpenedFile(self._file, self._generation)

    def read(self, file: OpenedFile) -> None:
        """As `open`, unless it is the one that another process named before."""
        if file != self._named:
            self.open(file.path)
            self._named = file

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection outside of any transaction. Raises StoreAway, and sqlite3.Error."""
        with self._lock:
            file, generation = self._file, self._generation
            db = self._idle.pop() if self._idle else None
        if file is None:
            raise StoreAway
        db = db or _connect(file)
        try:
            yield db
        except sqlite3.DatabaseError as error:
            if is_torn(error) and generation == self._generation:
                note_torn(Path(file))
            raise
        finally:
            if db.in_transaction:
                db.execute("rollback")
            with self._lock:
                kept = generation == self._generation
                if kept:
                    self._idle.append(db)
            if not kept:
                db.close()


def is_torn(error: sqlite3.Error) -> bool:
    """Whether the file has other bytes than SQLite wrote, or not all."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def note_torn(file: Path) -> None:
    """For whoever writes it, who may never come to where it is torn: it puts the file aside."""
    with suppress(OSError):
        (file.parent / FOUND_TORN).touch(0o600)


def refuse_torn(file: Path) -> None:
    """Raises sqlite3.DatabaseError if a reader has found it torn."""
    if (file.parent / FOUND_TORN).exists():
        raise sqlite3.DatabaseError("a reader has found it torn")


def _connect(file: str) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(
            f"file:{quote(file)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=10.0
        )
    except sqlite3.OperationalError as error:
        raise StoreAway from error
    for each in READING:
        db.execute(f"pragma {each}")
    return db
