"""What a run works on: a broker of its own, and workers in processes, each behind a link of its own.

All of it ends with the block, also if the block is left by an error. A worker is killed with this process, and the broker ends
with it. Everything is called in the main thread: Linux ends a child with the thread that began it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.localbroker import embedded
from tests.chaos import card_company, skewed_clock
from tests.chaos.chaos_applications import Application
from tests.chaos.network import Link
from tests.chaos.plan import Plan
from tests.support.processes import PROJECT, Process, descendants, environment, stand_still

PARTITIONS = 4
PREFIX = "chaos."
TO_STOP = 60.0
"""s that a worker has to stop when it is told to."""
BACK_AFTER = 1.0
"""s after which a worker that ended by itself is started again."""
LAST_WORDS = 2_000
"""Characters of a worker's log."""


class Broker:
    """An embedded Kafka whose Java process is known. Its address stays when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: embedded.EmbeddedBroker | None = None
        self._java = 0
        self.address = ""

    def start(self) -> None:
        self._running = running = embedded.start(self._folder)
        assert self.address in ("", running.address), f"the broker was at {self.address}, and is now at {running.address}"
        self.address = running.address
        [self._java] = [pid for pid, words in descendants(running.process.pid).items() if " kafka.Kafka " in words]

    def kill(self) -> None:
        """By `kill -9`."""
        assert self._running is not None
        self._running.stopping = True  # else its end is reported
        os.kill(self._java, signal.SIGKILL)
        self._running.process.wait(30)
        self._running.stop()  # closes what it was held by
        self._running = None

    def stand_still(self) -> None:
        stand_still(self._java)

    def go_on(self) -> None:
        os.kill(self._java, signal.SIGCONT)

    def stop(self) -> None:
        """It does nothing if the broker does not run."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self.go_on()
            self._running.stop()
            self._running = None


@dataclass(frozen=True)
class WorkerEnd:
    """A worker's end that nobody caused. `words` are the last ones of its log."""

    worker: int
    code: int
    words: str


class Worker:
    """A worker, in one process after the other: whenever one has ended, `tick` starts the next one."""

    def __init__(self, number: int, env: dict[str, str], folder: Path, link: Link, versions: Sequence[str]) -> None:
        self.number, self.link, self._folder = number, link, folder
        self._versions, self._version = versions, number % len(versions)
        self._clock = folder / "clock"
        skewed_clock.set_ahead(self._clock, 0.0)
        self._env = env | {skewed_clock.CLOCK: str(self._clock), "RETOLD_BROKER": link.address}
        self.log = folder / "worker.log"
        self._process: Process | None = None
        self._stands_still = False
        self._told_to_stop: float | None = None
        self._back_at = 0.0
        self.ends: list[WorkerEnd] = []
        self.problems: list[str] = []

    @property
    def up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        env = self._env | {"RETOLD_APP": self._versions[self._version]}
        self._process = Process("worker", env=env, log=self.log, folder=self._folder, program=skewed_clock.__name__)
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
            self.problems.append(f"worker {self.number} did not stop within {TO_STOP:.0f} s: {self._last_words()}")
            self.kill(0.0)

    def _has_ended(self, code: int) -> None:
        assert self._process is not None
        self._process.ended(1)
        self._process = None
        if self._told_to_stop is None or code not in (0, -signal.SIGTERM):  # the latter before it listens to signals
            self.ends.append(WorkerEnd(self.number, code, self._last_words()))
            self._back_at = time.monotonic() + BACK_AFTER

    def _last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]


class Installation:
    """Leaving its block ends everything; `stop` before that is how a person would end it."""

    def __init__(self, plan: Plan, application: Application, folder: Path) -> None:
        self.folder, self._plan, self._application = folder, plan, application
        self.broker, self.calls = Broker(folder / "broker"), folder / "calls.jsonl"
        self.workers: list[Worker] = []
        self.expected_ends = set(EXPECTED_ENDS)
        """Exit codes of workers that are no problem."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.broker.stop)
            self.broker.start()
            for number in range(self._plan.workers):
                link = stack.enter_context(Link(self.broker.address))
                worker = self._worker(number, link)
                stack.callback(worker.kill, 0.0)
                self.workers.append(worker)
                worker.start()
            self._stack = stack.pop_all()
        return self

    def _worker(self, number: int, link: Link) -> Worker:
        folder = self.folder / f"worker-{number}"
        folder.mkdir()
        state = self.folder / "state" if self._plan.one_name else folder / "state"
        own = {
            "PYTHONPATH": str(PROJECT), "RETOLD_PARTITIONS": str(PARTITIONS), "RETOLD_GATEWAY_TRIES": "3",
            "RETOLD_INSTANCE": "chaos" if self._plan.one_name else f"chaos{number}", "RETOLD_LOG_LEVEL": "info",
            card_company.CALLS: str(self.calls),
        }  # fmt: skip
        return Worker(number, environment(link.address, PREFIX, state) | own, folder, link, self._application.versions)

    def tick(self) -> None:
        """To be called often: workers that have ended are started again."""
        for worker in self.workers:
            worker.tick()

    def deploy_last(self) -> None:
        """All workers run the version that is the last one."""
        for worker in self.workers:
            if not worker.runs(self._application.last):
                worker.deploy(self._application.last)

    def stop_workers(self) -> None:
        """As a person would. What does not stop is a problem."""
        for worker in self.workers:
            worker.tell_to_stop()
        until = time.monotonic() + TO_STOP
        while any(worker.up for worker in self.workers) and time.monotonic() < until:
            for worker in self.workers:
                if worker.up:
                    worker.tick()
            time.sleep(0.05)
        for worker in self.workers:
            if worker.up:
                worker.problems.append(f"worker {worker.number} did not stop within {TO_STOP:.0f} s")

    def problems(self) -> Iterator[str]:
        """What should not have happened to workers, in words."""
        for worker in self.workers:
            yield from worker.problems
            for end in worker.ends:
                if end.code not in self.expected_ends:
                    yield f"worker {end.worker} ended with exit code {end.code}: {end.words}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


EXPECTED_ENDS = {0, 4, 75}
"""A worker that finds no broker when it starts says so and ends, and one whose handler did not return ends its process."""
