"""Ends a process whose threads cannot run, because a handler is in a call that never gives Python back (ADR 22).

A thread of Python could not: it needs the interpreter's lock, which that call holds. `faulthandler` has a thread of C.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import os
import re
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streams.engine.attempts import Attempt
from streams.errors import unwritable_state
from streams.private_files import make_private, open_private

AFTER = 9.0
"""s without a sign of life, during a batch, after which the process ends: less than a transaction's timeout."""
INTERPRETER, STANDSTILL = "", 60.0
"""The name under which a thread says that Python's threads run at all, and s after which the process ends if it does not."""
BEAT = 2.0
SOON = 0.01
DAY = 86_400.0
TOLD = "told-"
"""Begins the name of a file of stacks that a later process has told of."""
SIZE, TEXT = 512, 64
"""Bytes of a record, and where its two texts begin: the inbox's topic id, and the name of the file of stacks."""
PLACE = struct.Struct("<qqqq")
"""1 while a call goes on, then partition, position and offset."""


class Deadman:
    """One in a process. If a namespace in a batch does not say `alive` in time, the process ends; another one's word is none.

    So it does if no thread of Python runs for `standstill` s, whatever the namespaces do: a call of librdkafka that waits with
    the interpreter's lock may never return. Then, or if Python crashes, `file` has every thread's stack; else it is empty.
    """

    def __init__(self, folder: Path, standstill: float = STANDSTILL) -> None:
        make_private(folder)
        self.file = folder / f"{uuid.uuid4().hex}.stacks"
        self._stacks = open_private(self.file)
        fcntl.flock(self._stacks, fcntl.LOCK_EX)  # as long as this process lives
        self._lock, self._on = threading.Lock(), True
        self._ends_at = dict[str, float]()
        """When the process ends without another sign of life of each namespace in a batch, by the monotonic clock."""
        self._standstill, self._closed = standstill, threading.Event()
        faulthandler.enable(self._stacks, all_threads=True)
        self._beat()
        threading.Thread(target=self._go_on_beating, name="retold-heartbeat", daemon=True).start()

    def begin(self, namespace: str) -> None:
        """A batch of this namespace begins."""
        with self._lock:
            self._ends_at[namespace] = time.monotonic() + AFTER
            self._set()

    def alive(self, namespace: str) -> None:
        """From now on it has `AFTER` s again, if its batch goes on."""
        with self._lock:
            if namespace in self._ends_at:
                self._ends_at[namespace] = time.monotonic() + AFTER
            self._set()

    def done(self, namespace: str) -> None:
        with self._lock:
            self._ends_at.pop(namespace, None)
            self._set()

    def close(self) -> None:
        """From now on it ends nothing. An empty file is removed."""
        self._closed.set()
        with self._lock:
            self._on = False
            self._set()
        faulthandler.disable()
        self._stacks.close()
        with contextlib.suppress(OSError):
            if self.file.stat().st_size == 0:
                self.file.unlink()

    def _go_on_beating(self) -> None:
        while not self._closed.wait(min(BEAT, self._standstill / 4)):
            self._beat()

    def _beat(self) -> None:
        with self._lock:
            self._ends_at[INTERPRETER] = time.monotonic() + self._standstill
            self._set()

    def _set(self) -> None:
        if self._on and self._ends_at:
            left = min(self._ends_at.values()) - time.monotonic()
            faulthandler.dump_traceback_later(max(SOON, left), exit=True, file=self._stacks)
        else:
            faulthandler.cancel_dump_traceback_later()


class AttemptRecord:
    """The call of a handler that is going on, in a file that outlasts the process however it ends. One for each slot.

    Raises ConfigError if the state folder, where the file's folder is, cannot be written.
    """

    def __init__(self, file: Path, topic_id: str, stacks: str) -> None:
        try:
            make_private(file.parent)
            with open_private(file) as opened:
                opened.write(bytes(SIZE))
            number = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._map = mmap.mmap(number, SIZE)
            finally:
                os.close(number)
        except OSError as error:
            raise unwritable_state(file.parent.parent, error) from error
        text = f"{topic_id}\n{stacks}\n".encode()
        self._map[TEXT : TEXT + len(text)] = text

    def began(self, attempt: Attempt) -> None:
        PLACE.pack_into(self._map, 0, 1, attempt.partition, attempt.position, attempt.offset)

    def ended(self) -> None:
        self._map[0] = 0


def has_just_fired(folder: Path, seconds: float = 10.0) -> bool:
    """Whether a Deadman of this folder ended its process, or a process crashed, within the last `seconds`."""
    for stacks in folder.glob("*.stacks"):
        with contextlib.suppress(OSError):  # a process that ends removes its own
            found = stacks.stat()
            if found.st_size and found.st_mtime > time.time() - seconds:
                return True
    return False


class DeadAttempt(NamedTuple):
    """A call of a handler whose process was ended by its Deadman, or crashed; without stacks, it was killed in some other way."""

    topic_id: str
    partition: int
    position: int
    offset: int
    stacks: str


def dead_attempts(folder: Path, name: str) -> Iterator[DeadAttempt]:
    """Those of the namespace with this name and prefix, each once: its record is removed."""
    for file in sorted(folder.glob("*.attempt")):
        if re.fullmatch(rf"{re.escape(name)}\.\d+\.attempt", file.name):
            with contextlib.suppress(OSError, ValueError, struct.error):
                yield from _dead(folder, file)


def untold_stacks(folder: Path) -> Iterator[Path]:
    """Files of processes that crashed or were ended, each once; of one that a record names, when that was counted."""
    named = _named_stacks(folder)
    for stacks in sorted(folder.glob("*.stacks")):
        with contextlib.suppress(OSError):  # a process that ends removes its own
            if stacks.name in named or stacks.name.startswith(TOLD) or not stacks.stat().st_size or _lives(stacks):
                continue
            told = stacks.with_name(f"{TOLD}{stacks.name}")
            stacks.rename(told)  # no other process tells of it too
            yield told


def remove_old_stacks(folder: Path) -> None:
    """Those of a day ago, but for those of processes that live, and those that a record names: a worker may still count it."""
    named = _named_stacks(folder)
    for stacks in folder.glob("*.stacks"):
        with contextlib.suppress(OSError):
            if stacks.name in named or stacks.stat().st_mtime >= time.time() - DAY:
                continue
            with stacks.open("rb") as opened:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stacks.unlink()


def _named_stacks(folder: Path) -> set[str]:
    return {name for file in folder.glob("*.attempt") if (name := _stacks_named_in(file)) is not None}


def _stacks_named_in(file: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        texts = file.read_bytes()[TEXT:SIZE].decode().split("\n")
        return texts[1] if len(texts) > 1 else None
    return None


def _lives(stacks: Path) -> bool:
    """Whether the process of this file still runs: it holds a lock as long as it does."""
    with stacks.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _dead(folder: Path, file: Path) -> Iterator[DeadAttempt]:
    record = file.read_bytes()[:SIZE]
    topic_id, stacks_name, *_ = record[TEXT:].decode().split("\n")
    goes_on, partition, position, offset = PLACE.unpack_from(record)
    if goes_on != 1 or not stacks_name or "/" in stacks_name:
        return
    stacks = folder / stacks_name
    if not stacks.stat().st_size and _lives(stacks):
        return
    taken = file.with_suffix(f".{os.getpid()}")
    file.rename(taken)  # no other process counts it too
    taken.unlink()
    yield DeadAttempt(topic_id, partition, position, offset, stacks.read_text(errors="replace"))
