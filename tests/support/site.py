"""The demonstration installed for a test: topics under a prefix of their own, and processes that share a state folder."""

from __future__ import annotations

import mailbox
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import Message

from processors import app
from streams.errors import BrokerError
from streams.kafka.status import NamespaceStatus, status
from tests.support.inbox import Foreign
from tests.support.processes import PROJECT, Process, environment
from tests.support.workers import settings, until

SPACES = ("user", "email", "folder")
PARTITIONS = 4


@dataclass
class Site:
    """`env` is what its processes are started with."""

    foreign: Foreign
    env: dict[str, str]
    state: Path

    @classmethod
    def make(cls, broker: str, state: Path, name: str, **others: str) -> Self:
        """`others` are variables beside retold's own."""
        count = str(PARTITIONS)
        mails = {"DEMO_MAIL": str(state / "mail.mbox")}
        env = environment(broker, name, state, partitions=count, log_level="info", http_port="0") | mails | others
        return cls(Foreign(app(), settings(state, name, partitions=count), broker), env, state)

    def start(self, *words: str, **others: str) -> Process:
        return Process(*words, env=self.env | others, log=self.log)

    def start_alone(self, app: str, *words: str) -> Process:
        """With another application, whose code is there and no schema files: in a folder without any."""
        alone = {"RETOLD_APP": app, "PYTHONPATH": str(PROJECT)}
        return Process(*words, env=self.env | alone, log=self.log, folder=self.state)

    @property
    def log(self) -> Path:
        return self.state / "processes.log"

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def now(self) -> dict[str, NamespaceStatus]:
        found = status(self.foreign.clients, self.foreign.config.prefix, SPACES, self.foreign.codec)
        return {space.name: space for space in found.namespaces}

    def wait_until_owned(self) -> None:
        """Until every partition has a worker. A new broker on a busy machine may not know of groups at once."""
        until(self._all_owned, "not every partition has a worker", despite=BrokerError)

    def _all_owned(self) -> bool:
        owners = [part.owner for space in self.now().values() for part in space.partitions]
        return len(owners) == len(SPACES) * PARTITIONS and None not in owners

    def handled(self) -> int:
        return sum(space.counters.accepted + space.counters.duplicates for space in self.now().values())

    def accepted(self) -> dict[str, int]:
        return {name: space.counters.accepted for name, space in self.now().items()}

    def rows(self) -> dict[str, dict[str, bytes]]:
        return {name: self.foreign.rows(name) for name in SPACES}

    def logs(self) -> dict[str, list[Message]]:
        return {name: self.foreign.read(f"{name}-log") for name in SPACES}

    def mails(self) -> Counter[str]:
        with closing(mailbox.mbox(self.state / "mail.mbox")) as found:
            return Counter(str(mail["To"]) for mail in found)
