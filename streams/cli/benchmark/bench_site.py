"""Where a benchmark runs: topics with a prefix of their own, which are deleted when it ends, and one worker."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import TopicPartition

from streams.app import App, emits_into
from streams.cli.output.screen import talk
from streams.cli.process.child_process import ChildProcess
from streams.codec import AvroCodec
from streams.config import Config, environment_with
from streams.errors import BrokerError, NamespaceStopped, StreamsError, how_ended
from streams.kafka.clients import Clients
from streams.kafka.deletion import delete_all
from streams.kafka.offsets import ends
from streams.kafka.status import NamespaceStatus, status
from streams.kafka.tables_and_logs import partitions_of
from streams.kafka.topics import ensure, group_of, raise_for_problems, topic_names

LINES = 12
"""Of a worker's last output, that are shown if it ends."""


def own_prefix(config: Config) -> str:
    """Begins with the application's, since that may be all that it may write to."""
    return f"{config.prefix}bench-{secrets.token_hex(4)}-"


def namespaces_of(app: App, namespace: str) -> list[str]:
    """Whose topics a worker of `namespace` needs: its own, and those that it emits to."""
    return sorted({namespace, *emits_into(app, namespace)})


@contextmanager
def topics_of_its_own(clients: Clients, config: Config, namespaces: list[str]) -> Iterator[None]:
    """Made now, and deleted when the block ends. `config` has their prefix. Raises BrokerError, TopicMismatch."""
    admin = clients.admin()
    try:
        raise_for_problems(ensure(admin, config, namespaces))
        yield
    finally:
        try:
            delete_all(admin, config.prefix, namespaces)
        except StreamsError as error:
            talk(f"The topics that begin with {config.prefix} were not all deleted, and may be at any time: {error}")


@dataclass(frozen=True)
class BenchWorker:
    """A worker of one namespace in a process of its own. `output` is what it has said."""

    process: ChildProcess
    output: Path
    clients: Clients
    config: Config
    namespace: str

    def check(self) -> None:
        """Raises NamespaceStopped with its last lines if it has ended."""
        if self.process.code is not None:
            said = self.output.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
            lines = "\n".join(f"  {line}" for line in said)
            raise NamespaceStopped(f"the worker {how_ended(self.process.code)}. Its last output:\n{lines}")

    def checked(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """The same, and raises if the worker has ended."""

        def check_and_advance(done: int) -> None:
            self.check()
            advance(done)

        return check_and_advance

    def cpu_seconds(self) -> float | None:
        """What its process has used so far, all threads; None where the system does not tell."""
        try:
            words = Path(f"/proc/{self.process.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def worker_for(clients: Clients, config: Config, namespace: str) -> Iterator[BenchWorker]:
    """Ends with the block. It has our settings, and the prefix of `config`; what it keeps in the state folder goes too."""
    with tempfile.TemporaryDirectory(prefix="retold-bench-") as folder:
        output = Path(folder) / "worker.log"
        environ = environment_with(RETOLD_PREFIX=config.prefix)
        with (
            output.open("wb") as file,
            ChildProcess("worker", namespace, environ=environ, stdout=file, stderr=file) as process,
        ):
            yield BenchWorker(process, output, clients, config, namespace)
    for kept in ("notes", "slots"):
        for left in (config.state / kept).glob(f"{config.prefix}*"):
            left.unlink(missing_ok=True)


class Progress:
    """How far a namespace's workers are: a consumer asks for the group's offsets, and joins nothing.

    What follows from an event in its own namespace is in the same inbox, so it counts as the event does.
    """

    def __init__(self, clients: Clients, config: Config, namespace: str, codec: AvroCodec) -> None:
        inbox = topic_names(config.prefix, namespace).inbox
        self._admin = clients.admin()
        self._places = [TopicPartition(inbox, number) for number in range(partitions_of(self._admin, inbox))]
        self._consumer = clients.asking_consumer(group_of(config.prefix, namespace))
        self._asked = clients, config.prefix, [namespace], codec

    def handled(self, seconds: float = 20.0) -> int:
        """Inbox records so far. Raises BrokerError if there is no answer for so long."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return sum(max(0, place.offset) for place in self._consumer.committed(self._places, timeout=2.0))
            except Exception as error:  # KafkaException: its coordinator starts, or a transaction holds the answer back
                if time.monotonic() > deadline:
                    raise BrokerError(f"how far the worker is cannot be asked: {error}") from error

    def waiting(self, handled: int) -> int:
        """Records of the inbox behind those that are handled. Raises BrokerError."""
        behind = ends(self._admin, [(place.topic, place.partition) for place in self._places])
        return sum(behind.values()) - handled

    def status(self) -> NamespaceStatus:
        """As `retold status` shows it: its `lag` is 0 if there is nothing left but ends of transactions. Raises BrokerError."""
        return status(*self._asked).namespaces[0]

    def close(self) -> None:
        self._consumer.close()


def with_prefix(config: Config, prefix: str) -> Config:
    return replace(config, prefix=prefix)
