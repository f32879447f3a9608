"""The running broker of a state folder: `broker.json`, which is valid only while `broker.lock` is held.

The lock is an flock, which the system releases when its last holder ends, in whatever way. So a file that a crash left
behind is recognised by its free lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from streams.config import Config
from streams.errors import UNREADABLE_JSON, BrokerUnavailable, ConfigError, unwritable_state
from streams.private_files import OURS, make_private, write_private

SECONDS_FOR_LOCK = 1.0


@dataclass(frozen=True, slots=True)
class BrokerRecord:
    """`pid` is the process whose end ends the broker; `started` is an ISO 8601 time."""

    address: str
    pid: int
    started: str


def find(config: Config) -> str | None:
    """The address of the broker that this project runs now, or None."""
    record = running(config.state)
    return record.address if record else None


def running(folder: Path) -> BrokerRecord | None:
    """The content of `broker.json` if its broker runs; a stale file is removed.

    Raises ConfigError if that cannot be known, because the lock belongs to another user.
    """
    file = folder / "broker.json"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _opened(folder) as lock:
        if _locked(lock, fcntl.LOCK_SH):  # shared, so that two commands that check do not take each other for a broker
            with contextlib.suppress(OSError):
                file.unlink()
            return None
        with contextlib.suppress(*UNREADABLE_JSON):
            return msgspec.json.decode(file.read_bytes(), type=BrokerRecord)
    return None


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        lock = os.open(folder / "broker.lock", os.O_RDONLY)
    except PermissionError as error:
        raise ConfigError(
            f"{folder / 'broker.lock'} cannot be read: {error.strerror}. It belongs to another user, whose broker may run. Run "
            "this as that user, or set RETOLD_BROKER to that broker's address, or RETOLD_STATE to a folder of your own"
        ) from error
    try:
        yield lock
    finally:
        os.close(lock)


def take(folder: Path) -> int:
    """The open file that holds the folder's lock; closing it, in every process that inherited it, releases the lock.

    Raises BrokerUnavailable if a broker runs on this folder, ConfigError if the folder cannot be written.
    """
    try:
        make_private(folder)
        lock = os.open(folder / "broker.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unwritable_state(folder, error) from error
    deadline = time.monotonic() + SECONDS_FOR_LOCK
    while not _locked(lock, fcntl.LOCK_EX):
        # A command that checks for a broker holds the lock for a moment: hence the retries.
        if time.monotonic() > deadline:
            os.close(lock)
            raise BrokerUnavailable(_taken(folder))
        time.sleep(0.05)
    return lock


def write(folder: Path, address: str, pid: int) -> None:
    """Write the address for other commands. To be called by a holder of the lock."""
    record = BrokerRecord(address, pid, datetime.now(UTC).isoformat(timespec="seconds"))
    draft = folder / "broker.json.new"
    try:
        write_private(draft, json.dumps(asdict(record)) + "\n")
        draft.replace(folder / "broker.json")
    except OSError as error:
        raise unwritable_state(folder, error) from error


def delete(folder: Path, name: str) -> bool:
    """Delete what retold has written into `name` of a state folder, and that folder if nothing else is there.

    Whether there was something. Raises OSError.
    """
    there = False
    for pattern in OURS[name]:
        for entry in (folder / name).glob(pattern):
            there = True
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # such as one that is not empty
        (folder / name).rmdir()
    return there


def _taken(folder: Path) -> str:
    record = running(folder)
    whose = f"at {record.address}, started {record.started} by process {record.pid}" if record else "still starting"
    return (
        f"a broker already runs on the state folder {folder} ({whose}). "
        "Use that one, stop it first, or set RETOLD_STATE to another folder."
    )


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
