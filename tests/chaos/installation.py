"""What a run works on: a broker of its own, and workers and servers in processes, each behind a link of its own.

All of it ends with the block, also if the block is left by an error. They are killed with this process, and the broker ends
with it. Everything is called in the main thread: Linux ends a child with the thread that began it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from processors.settings import MAIL
from streams.cli.process.exit_codes import BROKER, START_AGAIN
from streams.localbroker import embedded
from tests.chaos import card_company
from tests.chaos.chaos_applications import Application
from tests.chaos.chaos_server import Server
from tests.chaos.mail_company import MailCompany
from tests.chaos.member import TO_STOP, Member, ProcessEnd
from tests.chaos.network import Link
from tests.chaos.plan import DISK_FULL, Plan
from tests.chaos.small_disk import SmallDisk, can_mount
from tests.support.mail_server import mail_server
from tests.support.processes import PROJECT, descendants, environment, stand_still

PARTITIONS = 4
PREFIX = "chaos."


class Broker:
    """An embedded Kafka whose Java process is known. Its address stays when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: embedded.EmbeddedBroker | None = None
        self._java = 0
        self.address = ""
        self.ended_by_itself = 0
        """How often."""

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

    def end_if_disk_was_full(self) -> None:
        """Kafka ends when it cannot write; where it did not have to, it goes on."""
        if self._running is not None and self._running.process.poll() is not None:
            self.ended_by_itself += 1
            self._running.stop()
            self._running = None
            home = self._folder / "kafka"
            with contextlib.suppress(FileNotFoundError):  # the next start begins another one
                (home / "broker.log").replace(home / f"broker-ended-{self.ended_by_itself}.log")
            self.start()

    def stand_still(self) -> None:
        """One that has just ended, since its disk is full, does so anyway."""
        with contextlib.suppress(ProcessLookupError):
            stand_still(self._java)

    def go_on(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._java, signal.SIGCONT)

    def stop(self) -> None:
        """It does nothing if the broker does not run."""
        if self._running is not None:
            self.go_on()
            self._running.stop()
            self._running = None


class Installation:
    """Leaving its block ends everything; `stop` before that is how a person would end it."""

    def __init__(self, plan: Plan, application: Application, folder: Path) -> None:
        self.folder, self._plan, self._application = folder, plan, application
        self.broker, self.calls = Broker(folder / "broker"), folder / "calls.jsonl"
        wanted = any(it.kind == DISK_FULL for it in plan.faults)
        self.disk = SmallDisk(folder / "broker") if wanted and can_mount() else None
        """The broker's; None: it is that of this machine, and never full."""
        self._mails = ""
        """Where mails go, if any are sent."""
        self.workers: list[Member] = []
        self.servers: list[Server] = []
        self.expected_ends = set(EXPECTED_ENDS)
        """Exit codes of workers that are no problem."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.disk is not None:
                stack.enter_context(self.disk)
            stack.callback(self.broker.stop)
            self.broker.start()
            if self._application.mails:
                company = MailCompany(self.calls, random.Random(self._plan.seed))
                self._mails = f"smtp://127.0.0.1:{stack.enter_context(mail_server(company)).port}"
            for number in range(self._plan.workers):
                link = stack.enter_context(Link(self.broker.address))
                self.workers.append(self._worker(number, link))
            for _ in range(self._plan.servers):
                self.servers.append(self._server(stack.enter_context(Link(self.broker.address))))
            for member in self._members():
                stack.callback(member.kill, 0.0)
                member.start()
            self._stack = stack.pop_all()
        return self

    def _members(self) -> list[Member]:
        return [*self.workers, *self.servers]

    def _worker(self, number: int, link: Link) -> Member:
        folder = self.folder / f"worker-{number}"
        folder.mkdir()
        state = self.folder / "state" if self._plan.one_name else folder / "state"
        env = self._env(link, state) | {
            "RETOLD_GATEWAY_TRIES": "3", "RETOLD_INSTANCE": "chaos" if self._plan.one_name else f"chaos{number}",
        }  # fmt: skip
        versions = self._application.versions
        return Member("worker", f"worker {number}", env, folder, link, versions, number % len(versions))

    def _server(self, link: Link) -> Server:
        folder = self.folder / "server"
        folder.mkdir()
        env = self._env(link, folder / "state")
        return Server(env, folder, link, self._application.versions, self._application.last)

    def _env(self, link: Link, state: Path) -> dict[str, str]:
        ours = {
            "PYTHONPATH": str(PROJECT), "RETOLD_PARTITIONS": str(PARTITIONS), "RETOLD_LOG_LEVEL": "info",
            card_company.CALLS: str(self.calls), MAIL: self._mails,
        }  # fmt: skip
        return environment(link.address, PREFIX, state) | ours

    def tick(self) -> None:
        """To be called often: processes that have ended are started again."""
        for member in self._members():
            member.tick()

    def deploy_last(self) -> None:
        """All workers run the version that is the last one."""
        for worker in self.workers:
            if not worker.runs(self._application.last):
                worker.deploy(self._application.last)

    def stop_workers(self) -> None:
        """As a person would. What does not stop is a problem."""
        stop(self.workers)

    def stop_servers(self) -> None:
        """As above."""
        stop(self.servers)

    def ends(self) -> list[ProcessEnd]:
        """Of processes that nobody ended."""
        return [end for member in self._members() for end in member.ends]

    def problems(self) -> Iterator[str]:
        """What should not have happened to processes, in words."""
        for member in self._members():
            yield from member.problems
        for end in self.ends():
            if end.by_deadman:
                continue
            if end.code not in self.expected_ends or (end.code == BROKER and end.was_ready):
                yield f"{end.name} ended with exit code {end.code}: {end.words}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def stop(members: Sequence[Member]) -> None:
    for member in members:
        member.tell_to_stop()
    until = time.monotonic() + TO_STOP
    while any(member.up for member in members) and time.monotonic() < until:
        for member in members:
            if member.up:
                member.tick()
        time.sleep(0.05)
    for member in members:
        if member.up:
            member.problems.append(f"{member.name} did not stop within {TO_STOP:.0f} s")


EXPECTED_ENDS = {BROKER, START_AGAIN}
"""What finds no broker when it starts says so and ends, and a worker whose handler did not return ends its process."""
