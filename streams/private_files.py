"""Folders and files that nobody else can read: a state folder, with its notes, locks and passwords."""

from __future__ import annotations

import fcntl
import os
import secrets
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

SETTINGS = ("server.properties", "log4j2.properties", "client.properties", "java.properties")
OURS: dict[str, tuple[str, ...]] = {
    "console.secret": (),
    "console.secret.*": (),
    "broker.lock": (),
    "broker.json": (),
    "broker.json.new": (),
    "kafka.volume": (),
    "kafka": ("data", "broker.log*", "output", "secret", *SETTINGS),
    "notes": ("*.breaker.json*", "*.stuck.json*", "*.attempt", "*.stacks"),
    "slots": ("*.lock",),
    "read": ("*[0-9]",),
    "faust": ("v1",),
}
"""What retold keeps in a state folder, and patterns of what is in it. Whatever else is there is somebody else's."""


def make_private(folder: Path) -> None:
    """Make the folder, for nobody else to read; also one of ours from before.

    One that holds something else stays as it is: RETOLD_STATE may name a project's folder, a home or /tmp.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077 and _is_ours(folder):
        folder.chmod(0o700)


def _is_ours(folder: Path) -> bool:
    known = OURS.get(folder.name, ()) + tuple(OURS)
    return all(any(fnmatchcase(entry.name, pattern) for pattern in known) for entry in folder.iterdir())


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody else can read, at no moment."""
    with open_private(file) as opened:
        opened.write(text.encode())


def replace_whole(file: Path, text: str, *, private: bool = False) -> None:
    """Write a file at once, so that nobody reads half of it and a full disk leaves the one before; a link stays one.

    It keeps its mode; a new one is for its owner alone if it is `private`. Raises OSError.
    """
    file = file.resolve()
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        with open_private(draft) if private or file.exists() else draft.open("wb") as opened:
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())
        if file.exists():
            draft.chmod(file.stat().st_mode & 0o777)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def open_private(file: Path) -> BinaryIO:
    """Open a file for writing that nobody else can read."""
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.fchmod(number, 0o600)
    return os.fdopen(number, "wb")


def lock_private(file: Path) -> int | None:
    """The file, open and locked until it is closed or this process ends, however it ends; None if another process has it."""
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened
