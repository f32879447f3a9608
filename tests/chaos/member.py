"""A worker or a server of a run: a process that is killed, stands still, and is started again whenever it has ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.worker.deadman import has_just_fired
from streams.worker.notes import FOLDER
from tests.chaos import skewed_clock
from tests.chaos.network import Link
from tests.support.processes import Process, stand_still

TO_STOP = 60.0
"""s that a process has to stop when it is told to."""
BACK_AFTER = 1.0
"""s after which a process that ended by itself is started again."""
LAST_WORDS = 2_000
"""Bytes of its log."""
READY = b"Ready: "
"""What a worker says when it handles events."""


@dataclass(frozen=True)
class ProcessEnd:
    """A process's end that nobody caused. `was_ready`: it had said so. `words` are the last ones of its log.

    `by_deadman`: it had given no sign of life for 9 s in a batch, as where it stood still in one.
    """

    name: str
    code: int
    was_ready: bool
    by_deadman: bool
    words: str


class Member:
    """A worker or a server, in one process after the other: whenever one has ended, `tick` starts the next one.

    `command` is worker or server, `versions` are the application's, of which `version` is the number of the first.
    """

    def __init__(
        self, command: str, name: str, env: Mapping[str, str], folder: Path, link: Link, versions: Sequence[str], version: int
    ) -> None:
        self.name, self.link, self._command, self._folder = name, link, command, folder
        self._versions, self._version = versions, version
        self._clock = folder / "clock"
        skewed_clock.set_ahead(self._clock, 0.0)
        self._env = {**env, skewed_clock.CLOCK: str(self._clock)}
        self._notes = Path(env["RETOLD_STATE"]) / FOLDER
        self.log = folder / "process.log"
        self._began_at = 0
        """Where the log of this process begins."""
        self._process: Process | None = None
        self._stands_still = False
        self._told_to_stop: float | None = None
        self._back_at = 0.0
        self.ends: list[ProcessEnd] = []
        self.problems: list[str] = []

    @property
    def up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        env = self._env | {"RETOLD_APP": self._versions[self._version]}
        self._began_at = self.log.stat().st_size if self.log.exists() else 0
        self._process = Process(self._command, env=env, log=self.log, folder=self._folder, program=skewed_clock.__name__)
        self._told_to_stop = None

    def kill(self, away: float) -> None:
        """By `kill -9`; the next process is started after so many s."""
        if self._process is not None:
            self._process.process.send_signal(signal.SIGKILL)
            self._process.ended(30)
            self._process = None
        self._stands_still = False
        self._back_at = time.monotonic() + away

    def stand_still(self) -> None:
        if self._process is not None and self._process.process.poll() is None:
            stand_still(self._process.process.pid)
            self._stands_still = True

    def go_on(self) -> None:
        if self._stands_still and self._process is not None:
            self._process.process.send_signal(signal.SIGCONT)
        self._stands_still = False

    def tell_to_stop(self) -> None:
        if self._process is not None and self._told_to_stop is None:
            self._process.process.send_signal(signal.SIGTERM)
            self._told_to_stop = time.monotonic()

    def deploy(self, version: int) -> None:
        """The next process runs this version; it takes the place of this one."""
        self._version = version % len(self._versions)
        self.tell_to_stop()

    def runs(self, version: int) -> bool:
        return self._version == version

    def set_clock_ahead(self, seconds: float) -> None:
        skewed_clock.set_ahead(self._clock, seconds)

    def tick(self) -> None:
        """To be called often."""
        if self._process is None:
            if time.monotonic() >= self._back_at:
                self.start()
        elif (code := self._process.process.poll()) is not None:
            self._has_ended(code)
        elif self._told_to_stop is not None and time.monotonic() > self._told_to_stop + TO_STOP:
            self.problems.append(f"{self.name} did not stop within {TO_STOP:.0f} s: {self._last_words()}")
            self.kill(0.0)

    def _has_ended(self, code: int) -> None:
        assert self._process is not None
        self._process.ended(1)
        self._process = None
        if self._told_to_stop is None or code not in (0, -signal.SIGTERM):  # the latter before it listens to signals
            was_ready, by_deadman = READY in self._said()[self._began_at :], code == 1 and has_just_fired(self._notes)
            self.ends.append(ProcessEnd(self.name, code, was_ready, by_deadman, self._last_words()))
            self._back_at = time.monotonic() + BACK_AFTER

    def _last_words(self) -> str:
        return self._said()[-LAST_WORDS:].decode(errors="replace")

    def _said(self) -> bytes:
        return self.log.read_bytes()
