"""How long partitions pause when a worker is killed or replaced, with copies kept by the others and without.

`python -m ops.bench.takeover ADDRESS FOLDER ROWS STANDBYS killed|replaced [WORKERS]` makes one run, and writes one JSON object:
one of two workers is killed, or of so many; or one is replaced. With a contestant's name in place of STANDBYS and the rest, it is
one of two processes of that contestant that is killed (`ops.bench.killed_contestant`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

import processors
from ops.bench import killed_contestant
from ops.bench.child import last_words, running
from ops.bench.contestant import MAKERS
from ops.bench.read_model import PARTITIONS, memory_of, settings_of
from ops.bench.restore import write
from processors.events import UserRename
from streams.codec import codec_of
from streams.config import Config
from streams.kafka.clients import SESSION, Clients
from streams.kafka.offsets import ends
from streams.kafka.status import NamespaceStatus, status

RATE = 1_000
"""Events a second, of users chosen by turns."""
BEFORE, AFTER = 6.0, 30.0
"""s of events before a worker ends, and afterwards."""
TIMEOUT = 300.0
NAMES = ("first", "second", "third", "fourth")


class Events:
    """Publishes, and reads what is handled: from any number of threads, each event's delay by partition."""

    def __init__(self, clients: Clients, prefix: str, rows: int) -> None:
        self._clients, self._prefix, self._rows = clients, prefix, rows
        self._codec = codec_of(processors.app())
        self.delays: dict[int, list[tuple[float, float]]] = defaultdict(list)
        """By partition, when an event was published, and how long it took to be readable in the log; in s."""
        self.published = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=it) for it in (self._publish, self._read)]

    def __enter__(self) -> Events:
        log = f"{self._prefix}user-log"
        self._consumer: Consumer = self._clients.consumer("bench", partition_eof=False)
        end = ends(self._clients.admin(), [(log, at) for at in range(PARTITIONS)])
        self._consumer.assign([TopicPartition(*at, offset) for at, offset in end.items()])
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._consumer.close()

    @property
    def handled(self) -> int:
        return sum(map(len, list(self.delays.values())))

    def _publish(self) -> None:
        producer, began = self._clients.producer("bench"), time.monotonic()
        while not self._stop.is_set():
            while self.published < (time.monotonic() - began) * RATE:
                user = f"u{self.published * 7919 % self._rows}"
                value = self._codec.encode(UserRename(user=user, name=f"{time.monotonic():.4f}"))
                producer.produce(f"{self._prefix}user", value, user.encode())
                self.published += 1
            producer.poll(0)
            time.sleep(0.005)
        producer.flush(30)

    def _read(self) -> None:
        while not self._stop.is_set() or self.handled < self.published:
            for message in self._consumer.consume(1_000, 0.02):
                now, data = time.monotonic(), self._codec.decode(message.value() or b"")
                assert isinstance(data, UserRename)
                published = float(data.name)
                self.delays[message.partition() or 0].append((published, now - published))


class Workers:
    """Workers of the users, each a process."""

    def __init__(self, config: Config, address: str, standbys: int) -> None:
        self._config, self._address, self._standbys = config, address, standbys
        self._clients, self._codec = Clients.of(config, address), codec_of(processors.app())
        self._pids: list[int] = []

    def start(self, stack: ExitStack, name: str) -> Callable[[int], None]:
        """Returns what sends a signal to it."""
        words = self._config.state / f"{name}.log"
        told = {
            "RETOLD_PREFIX": self._config.prefix, "RETOLD_STATE": str(self._config.state), "RETOLD_APP": "processors:app",
            "RETOLD_BROKER": self._address, "RETOLD_STANDBYS": str(self._standbys), "RETOLD_LOG_LEVEL": "info",
            "RETOLD_INSTANCE": name, "RETOLD_PARTITIONS": str(PARTITIONS),
        }  # fmt: skip
        command = [str(Path(sys.executable).with_name("retold")), "worker", "user"]
        process = stack.enter_context(running(command, told, words))
        self._pids.append(process.pid)
        return process.send_signal

    def memory(self) -> list[int]:
        """MB of each."""
        return [round(memory_of(pid)) for pid in self._pids]

    def wait(self, what: Callable[[NamespaceStatus], bool], words: str) -> NamespaceStatus:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            found = status(self._clients, self._config.prefix, ["user"], self._codec).namespaces[0]
            if found.partitions and what(found):
                return found
            time.sleep(0.3)
        logs = [last_words(it, 5) for it in self._config.state.glob("*.log")]
        raise TimeoutError("\n".join([words, *logs]))

    def ready(self, found: NamespaceStatus, count: int) -> bool:
        """Whether so many workers have partitions, all run, and all copies are up to date."""
        owners = {part.owner for part in found.partitions}
        run = all(part.state == "running" for part in found.partitions) and len(owners) == count
        return run and all(it.ready for part in found.partitions for it in part.copies) and self._copied(found, count)

    def _copied(self, found: NamespaceStatus, count: int) -> bool:
        return not self._standbys or all(len(part.copies) >= count - 1 for part in found.partitions)


def main(address: str, folder: str, rows: str, standbys: str, how: str, most: str = "2") -> None:
    config = settings_of(Path(folder), f"benchtakeover{time.time_ns() // 1_000_000}-")
    config.state.mkdir(parents=True, exist_ok=True)
    clients = Clients.of(config, address)
    write(clients, config, int(rows))
    workers = Workers(config, address, int(standbys))
    with ExitStack() as stack:
        first = workers.start(stack, "first")
        count = int(most) if how == "killed" else 1
        for number in range(1, count):
            workers.start(stack, NAMES[number])
        before = workers.wait(lambda it: workers.ready(it, count), "the workers are not ready")
        with Events(clients, config.prefix, int(rows)) as events:
            time.sleep(BEFORE)
            if how == "replaced":
                began = time.monotonic()
                workers.start(stack, "second")
                workers.wait(lambda it: workers.ready(it, 2), "the new worker is not ready")
                time.sleep(2.0)
            memory = workers.memory()
            ended = time.monotonic()
            first(signal.SIGKILL if how == "killed" else signal.SIGTERM)
            time.sleep(AFTER)
    since = ended if how == "killed" else began
    mine = {part.partition for part in before.partitions if (part.owner or "").rpartition(".")[0].endswith("first")}
    found = {
        "how": how, "rows": int(rows), "standbys": int(standbys), "events": events.published, "handled": events.handled,
        "moved": {at: _longest(events, at, since) for at in sorted(mine)},
        "stayed": {at: _longest(events, at, since) for at in range(PARTITIONS) if at not in mine},
        "rebalance": _longest_at(events, since + SESSION - 1, since + SESSION + 4, set(range(PARTITIONS)) - mine),
        "noise": _longest_at(events, since - BEFORE, since, range(PARTITIONS)),
        "MB of each worker": memory, "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(json.dumps(found))


def _longest_at(events: Events, first: float, last: float, partitions: Collection[int]) -> float:
    """The longest delay of an event of these partitions that was handled between two times: s."""
    delays = [took for at in partitions for published, took in events.delays[at] if first < published + took <= last]
    return round(max(delays, default=0.0), 2)


def _longest(events: Events, partition: int, since: float) -> float:
    """The longest delay of an event that was handled after `since`, counted from then: s."""
    delays = [published + took - max(since, published) for published, took in events.delays[partition] if published + took > since]
    return round(max(delays, default=0.0), 2)


if __name__ == "__main__":
    if sys.argv[4] in MAKERS:
        print(json.dumps(killed_contestant.run(*sys.argv[1:])))
    else:
        main(*sys.argv[1:])
