"""The read model's file: where it is, who may write it, and when it is believed.

It is a cache of Kafka and never the truth: whatever is doubtful is deleted and read again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from streams.errors import UNREADABLE_JSON, ConfigError, unwritable_state
from streams.history.stored.past_file import StoreIdentity
from streams.private_files import lock_private, make_private
from streams.server.readmodel import file_journal
from streams.server.readmodel.store_meta import set_meta
from streams.server.readmodel.store_readers import FOUND_TORN, refuse_torn
from streams.server.readmodel.transaction import transaction

log = logging.getLogger("retold.server")
SLOTS = 100
FILE, TORN, LOCK = "read.sqlite", "read.bad", "lock"
READING, WANTED = "reading", "wanted"
"""Files that say that a command has the folder, and that a server wants it: the command then gives it up."""
YIELDS, LOOKS = 10.0, 0.1
"""s in which a command gives a folder up, and in which somebody has looked whether it is locked."""
KILLED = "the process that read it for the first time was killed; what is read from now on is kept, should that happen again"
LEAST_SQLITE = (3, 38, 0)
WRITING = (
    "synchronous=off", "secure_delete=off", "cache_size=-262144", "wal_autocheckpoint=10000", "temp_store=memory", "threads=0"
)  # fmt: skip
"""Nothing is synced while it is written: a process that is killed loses nothing, and after a loss of power nothing is believed."""
SORTING = ("temp_store=file", "cache_size=-65536", "threads=2", "mmap_size=2147483648")
"""While indexes are made of what is there, as many as there may be: memory holds a part of what is sorted, and a file the rest.
Each is made in one pass over all records, which is mapped: to read it costs an eighth of the time."""
KEPT_FOR = 6 * 86_400.0
"""s after which a file may have missed the removal of a key: compacted topics keep tombstones for 7 days (rule 25)."""
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"})
"""File systems on which neither locks nor shared memory are to be relied on."""


def delete_unused(state: Path) -> None:
    """Delete the files of servers that do not run; one that runs finds out by itself. The locks stay. Raises OSError."""
    for lock_file in sorted((state / "read").glob("*/lock")):
        lock = lock_private(lock_file)
        if lock is None:
            continue
        try:
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", TORN):
                (lock_file.parent / name).unlink(missing_ok=True)
        finally:
            os.close(lock)


@dataclass
class OpenStore:
    """A file that is open for writing. `fresh`: there was none that is believed, so everything is to be read."""

    file: Path
    db: sqlite3.Connection
    fresh: bool

    def __post_init__(self) -> None:
        self._inode, self._journal = _inode(self.file), _inode(self._journal_file)

    @property
    def _journal_file(self) -> Path:
        return Path(f"{self.file}-wal")

    def is_deleted(self) -> bool:
        """Whether somebody deleted it or its journal: nobody who opens it from then on sees what is written."""
        journal = _inode(self._journal_file)
        self._journal = self._journal or journal  # made when it is first written
        return self._inode != _inode(self.file) or self._journal != journal

    def end_first_reading(self, indexes: Iterable[str]) -> None:
        """All is there: from now on a process that is killed loses nothing. Make the indexes that are not there yet."""
        file_journal.keep_beside(self.db)
        set_meta(self.db, **{file_journal.FIRST: file_journal.BESIDE})
        self.make_indexes(indexes)
        self.db.execute("delete from meta where name = ?", (file_journal.FIRST,))

    def make_indexes(self, statements: Iterable[str]) -> None:
        """Sorted beside the file, which takes less time than row by row."""
        statements = [*statements]
        if not statements:
            return
        os.putenv("SQLITE_TMPDIR", str(self.file.parent))  # what is sorted lies in no folder of others
        for each in SORTING:
            self.db.execute(f"pragma {each}")
        for statement in (*statements, "analyze sqlite_schema"):  # the file has statistics of them already
            self.db.execute(statement)
        for each in (*WRITING, "mmap_size=0"):
            self.db.execute(f"pragma {each}")

    def close(self) -> None:
        """Sync it, and note that it is whole: so it is believed after any restart of the machine."""
        with closing(self.db) as db:
            db.execute("pragma synchronous=full")
            db.execute("pragma busy_timeout=1000")  # a reader may hold the end of the journal up; then it is left as it is
            set_meta(db, clean=1)
            db.execute("pragma wal_checkpoint(truncate)")


class Doubt(NamedTuple):
    """Why a file is not believed; `torn`: its process was killed, and so may be the one that makes it anew."""

    why: str
    torn: bool


def files_in_use(state: Path, prefix: str) -> Iterable[Path]:
    """The files of servers that run."""
    for folder in sorted((state / "read").glob("*")):
        if folder.name.removeprefix(prefix).isdigit() and folder.name.startswith(prefix) and (folder / FILE).exists():
            lock = lock_private(folder / LOCK)
            if lock is None:
                yield folder / FILE
            else:
                os.close(lock)


class StoreFolder:
    """The first folder for a server's file that no other server has; held until the process ends, however it ends."""

    def __init__(self, state: Path, prefix: str, *, yields: bool = False) -> None:
        """`yields`: of a command, which gives it up to a server that starts, once that `is_wanted`.

        Raises ConfigError, also for a network file system.
        """
        self._state, self._prefix, self._yields = state, prefix, yields
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            least = ".".join(map(str, LEAST_SQLITE))
            raise ConfigError(
                f"this Python has SQLite {sqlite3.sqlite_version}; {least} or later was expected: the server keeps its rows in it"
            )
        self.path, self._lock = self._made()

    def _made(self) -> tuple[Path, int]:
        root = self._state / "read"
        try:
            for each in (self._state, root):
                make_private(each)
            refuse_network(root, file_system_of(root))
            return self._take(root, self._prefix, self._yields)
        except OSError as error:
            raise unwritable_state(self._state, error) from error

    @staticmethod
    def _take(root: Path, prefix: str, yields: bool) -> tuple[Path, int]:
        for number in range(SLOTS):
            folder = root / f"{prefix}{number}"
            make_private(folder)
            lock = lock_private(folder / LOCK)
            if lock is None and not yields:
                lock = _yielded(folder)
            if lock is not None:
                (folder / WANTED).unlink(missing_ok=True)
                if yields:
                    (folder / READING).touch(0o600)
                else:
                    (folder / READING).unlink(missing_ok=True)
                return folder, lock
        raise ConfigError(f"{SLOTS} servers of this project run on this machine already")

    @property
    def file(self) -> Path:
        return self.path / FILE

    def is_wanted(self) -> bool:
        """Whether a server waits for it."""
        return (self.path / WANTED).exists()

    def release(self) -> None:
        os.close(self._lock)

    def open(self, identity: StoreIdentity, statements: Iterable[str]) -> OpenStore:
        """The file, made anew unless the one that is there is believed. Raises sqlite3.Error, such as for a full disk."""
        if self.file.exists():
            doubt = self._open_known(identity)
            if isinstance(doubt, OpenStore):
                return doubt
            log.warning("the read model in %s is read again from Kafka: %s", self.file, doubt.why)
            self.delete()
            if doubt.torn:
                return self._make(identity, statements, file_journal.BESIDE)
        return self._make(identity, statements, file_journal.IN_MEMORY)

    def delete(self) -> None:
        """Also if somebody deleted the folder: then another one is taken, and what a server may have made there is left alone."""
        if _inode(self.path / LOCK) != _inode(self._lock):
            self.release()
            self.path, self._lock = self._made()
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", FOUND_TORN):
            (self.path / name).unlink(missing_ok=True)

    def put_aside(self) -> None:
        """Keep a torn file beside the next one, for whoever wants to see what happened."""
        with suppress(FileNotFoundError):
            self.file.replace(self.path / TORN)
        self.delete()

    def _open_known(self, identity: StoreIdentity) -> OpenStore | Doubt:
        """The file; or why it is not believed."""
        db = _connect(self.file)
        try:
            refuse_torn(self.file)
            why = doubt_about(db, identity)
            torn = why is None and file_journal.may_be_torn(db)
            if torn:
                why = KILLED
            if why is None:
                db.execute("pragma synchronous=full")
                set_meta(db, boot=boot_id(), clean=0)
                db.execute("pragma wal_checkpoint(truncate)")
                _set_up(db, in_memory=file_journal.is_in_memory(db))
                return OpenStore(self.file, db, fresh=False)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                db.close()
                raise
            why = f"it does not read ({error})"
            db.close()
            self.put_aside()
            return Doubt(f"{why}; it is kept as read.bad", torn=True)
        db.close()
        return Doubt(why, torn)

    def _make(self, identity: StoreIdentity, statements: Iterable[str], journal: int) -> OpenStore:
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = _connect(self.file)
        try:
            _set_up(db, in_memory=journal == file_journal.IN_MEMORY)
            with transaction(db):
                for statement in statements:
                    db.execute(statement)
                set_meta(db, identity=msgspec.json.encode(identity), boot=boot_id(), clean=0, **{file_journal.FIRST: journal})
        except sqlite3.Error:  # on a full disk: half a file would say no more of that at the next try
            db.close()
            self.delete()
            raise
        return OpenStore(self.file, db, fresh=True)


def _inode(at: Path | int) -> tuple[int, int] | None:
    """What tells a file, by its path or descriptor, from every other one; None if there is none."""
    try:
        found = at.stat() if isinstance(at, Path) else os.fstat(at)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _yielded(folder: Path) -> int | None:
    """The lock of a folder once a command has given it up; None if a server has it."""
    seconds = LOOKS
    if (folder / READING).exists():
        seconds = YIELDS
        (folder / WANTED).touch(0o600)
    deadline = time.monotonic() + seconds
    while (lock := lock_private(folder / LOCK)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return lock


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10.0)


def _set_up(db: sqlite3.Connection, *, in_memory: bool) -> None:
    if in_memory:
        file_journal.keep_in_memory(db)
    else:
        file_journal.keep_beside(db)
    for each in WRITING:
        db.execute(f"pragma {each}")


def doubt_about(db: sqlite3.Connection, identity: StoreIdentity) -> str | None:
    """Why the file is not believed; None if it is. Raises sqlite3.DatabaseError."""
    if db.execute("select 1 from sqlite_master where name = 'meta'").fetchone() is None:
        return "it was not made to its end"
    meta = dict(db.execute("select name, value from meta").fetchall())
    try:
        known = msgspec.json.decode(meta.get("identity") or b"", type=StoreIdentity)
    except UNREADABLE_JSON:
        return "another version of retold wrote it"
    if known.format != identity.format:
        return "another version of retold wrote it"
    if (known.application, known.prefix) != (identity.application, identity.prefix):
        return f"it is of the application {known.application!r} and the prefix {known.prefix!r}"
    other = known.fingerprints.keys() ^ identity.fingerprints.keys()
    if other and not meta.get("complete"):  # else what is new is read beside
        return "the application has other namespaces or projections"
    changed = sorted(name[2:] for name, of in identity.fingerprints.items() if known.fingerprints.get(name, of) != of)
    if changed and not meta.get("complete"):  # else their rows are answered as they are, until others are made
        return f"the schema of {', '.join(changed)} has changed"
    if not meta.get("clean") and meta.get("boot") != boot_id():
        return "the machine was restarted while it was written"
    if meta.get("seen") is not None and not 0 <= time.time() - float(meta["seen"]) <= KEPT_FOR:
        return "it is too old to go on from"
    return None


def boot_id() -> str:
    """Of the machine since it was started; empty where that is not known, and then nothing but a clean end is believed."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"unknown {os.getpid()} {time.time_ns()}"


def file_system_of(folder: Path) -> str:
    """Its name, such as ext4; empty where that is not known."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [(parts[1].replace("\\040", " "), parts[2]) for line in lines if len(parts := line.split()) > 2]
    whole = folder.resolve()
    inside = [(len(point), kind) for point, kind in mounts if whole.is_relative_to(point)]
    return max(inside, default=(0, ""))[1]


def refuse_network(folder: Path, kind: str) -> None:
    """Raises ConfigError for a network file system."""
    if kind in NETWORK:
        raise ConfigError(
            f"the state folder {folder.parent} is on a network file system ({kind}), where SQLite's locks are not to be relied "
            "on: set RETOLD_STATE to a folder of a local disk. It is a cache, and may be lost"
        )
