"""What becomes of events when one of two processes of a contestant is killed: how many are lost or doubled, and how long they wait.

`python -m ops.bench.takeover ADDRESS FOLDER KEYS CONTESTANT [SESSION]` makes one run, and writes one JSON object.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient

from ops.bench import topic
from ops.bench.child import last_words, running
from ops.bench.contestant import MAKERS, Contestant, environment
from ops.bench.work import PARTITIONS, START_MS, Record, decode, encode, event_number, fill, headers_of
from streams.kafka.owners import assigned

RATE = 300
"""Events a second: on a busy machine one process of each contestant handles more than that."""
BEFORE, AFTER = 10.0, 30.0
"""s of events before one is killed, and afterwards."""
STILL, TIMEOUT = 90.0, 900.0
"""s without an event after which those that are left count as lost; and s in which all keys are to be handled at first."""
RESTARTS = 5
"""How often one that ends by itself is started again, as whatever runs it would."""
ROWS_STILL = 15.0
"""s in which no row changes any more: longer than any commit interval."""


class Events:
    """Each has a number of its own, and a key by turns. Publishes them, and reads the log as committed, in two threads."""

    def __init__(self, broker: str, inbox: str, log: str, keys: int) -> None:
        self._broker, self._inbox, self._log, self._keys = broker, inbox, log, keys
        self.published: dict[int, float] = {}
        """By number, when: s, by the monotonic clock."""
        self.logged: Counter[int] = Counter()
        self.delays: dict[int, list[tuple[float, float]]] = defaultdict(list)
        """By partition of the inbox, when an event was published, and when it was first readable in the log."""
        self.last = time.monotonic()
        """When the log last had something new."""
        self._publishing = self._reading = True

    def record(self, number: int) -> Record:
        event = event_number(number, number % self._keys)
        return event["user"].encode(), encode(event), headers_of(number, event["user"].encode())

    def first(self) -> None:
        """One event of each key, at once."""
        fill(self._broker, self._inbox, map(self.record, range(self._keys)))
        self.published.update(dict.fromkeys(range(self._keys), time.monotonic()))

    def publish(self) -> None:
        """At an even rate, until `stop`."""
        producer = Producer({"bootstrap.servers": self._broker, "enable.idempotence": True, "linger.ms": 5, **topic.QUIET})
        began, number = time.monotonic(), self._keys
        while self._publishing:
            while number - self._keys < (time.monotonic() - began) * RATE:
                key, value, headers = self.record(number)
                self.published[number] = time.monotonic()
                producer.produce(self._inbox, value, key, murmur2(key, PARTITIONS), headers=headers)
                number += 1
            producer.poll(0)
            time.sleep(0.005)
        producer.flush(60)

    def read(self) -> None:
        options = {"group.id": "bench", "isolation.level": "read_committed", "enable.auto.commit": False, **topic.QUIET}
        consumer = Consumer({"bootstrap.servers": self._broker, "fetch.wait.max.ms": 20, **options})
        consumer.assign([TopicPartition(self._log, at, 0) for at in range(PARTITIONS)])
        while self._reading:
            for message in consumer.consume(1_000, 0.02):
                if message.error() is None:
                    self.take(message.value() or b"", time.monotonic())
        consumer.close()

    def take(self, value: bytes, now: float) -> None:
        """A record of the log, and when it was read."""
        event = decode(value)
        number, self.last = event["at"] - START_MS, now
        self.logged[number] += 1
        if self.logged[number] == 1:
            partition = int(murmur2(event["user"].encode(), PARTITIONS))
            self.delays[partition].append((self.published.get(number, now), now))

    @contextmanager
    def reading(self) -> Iterator[None]:
        reader = threading.Thread(target=self.read)
        reader.start()
        try:
            yield
        finally:
            self._publishing = self._reading = False
            reader.join()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        publisher = threading.Thread(target=self.publish)
        publisher.start()
        try:
            yield
        finally:
            self._publishing = False
            publisher.join()

    @property
    def left(self) -> int:
        return len(self.published) - len(self.logged)

    @property
    def doubled(self) -> int:
        return sum(times - 1 for times in self.logged.values())

    def wait(self, still: float, timeout: float, meanwhile: Callable[[], None]) -> None:
        """Until all are logged, or nothing comes any more."""
        until, self.last = time.monotonic() + timeout, time.monotonic()
        while self.left and time.monotonic() < min(until, self.last + still):
            meanwhile()
            time.sleep(0.2)

    def longest(self, partition: int, since: float) -> float:
        """The longest time that an event was away, of those that were not in the log at `since`: s from then on."""
        waits = [logged - max(published, since) for published, logged in self.delays[partition] if logged > since]
        return round(max(waits, default=0.0), 2)


class Contender:
    """One process of a contestant, with a state folder of its own."""

    def __init__(self, stack: ExitStack, contestant: Contestant, told: dict[str, str], folder: Path) -> None:
        self._stack, self._command, self._folder = stack, contestant.command, folder
        self._told = told | {"BENCH_STATE": str(folder), "RETOLD_STATE": str(folder), "RETOLD_INSTANCE": folder.name}
        self.restarts = 0
        self.process = self._started()

    def tend(self) -> None:
        """Start it again if it has ended."""
        if self.process.poll() is not None and self.restarts < RESTARTS:
            self.restarts += 1
            self.process = self._started()

    def _started(self) -> Popen[bytes]:
        words = self._folder.with_name(f"{self._folder.name}-{self.restarts}.log")
        return self._stack.enter_context(running(self._command, self._told, words))


def killed(address: str, folder: Path, keys: int, contestant: Contestant, session: str) -> dict[str, Any]:
    """`session`: the session time-out in s that its processes are told; empty: what they come with."""
    prefix = f"benchkilled{time.time_ns() // 1_000_000}-"
    admin = AdminClient({"bootstrap.servers": address, **topic.QUIET})
    contestant.prepare(admin, prefix)
    told = environment(prefix, contestant.name, address, folder) | dict(contestant.settings)
    if not contestant.own_inbox:
        topic.create(admin, told["BENCH_LOG"])
    told |= {"RETOLD_STANDBYS": "1"} | ({"BENCH_SESSION": session} if session else {})
    folder.mkdir(parents=True, exist_ok=True)
    events = Events(address, told["BENCH_INBOX"], told["BENCH_LOG"], keys)
    group = f"{prefix}retold.bench" if contestant.own_inbox else told["BENCH_NAME"]
    with ExitStack() as stack:
        first, second = (Contender(stack, contestant, told, folder / name) for name in ("first", "second"))
        _wait_for_both(admin, group, folder)
        stack.enter_context(events.reading())
        events.first()
        events.wait(TIMEOUT, TIMEOUT, lambda: None)
        _wait_for_both(admin, group, folder)
        with events.publishing():
            time.sleep(BEFORE)
            since = time.monotonic()
            first.process.send_signal(signal.SIGKILL)
            while time.monotonic() < since + AFTER:
                second.tend()
                time.sleep(0.2)
        events.wait(STILL, TIMEOUT, second.tend)
        rows = _rows(address, contestant, prefix, told["BENCH_INBOX"])
    expected = Counter(f"user-{number % keys:05d}" for number in events.published)
    return {
        "contestant": contestant.name, "session": session or "its own", "keys": keys, "events": len(events.published),
        "lost": events.left, "doubled": events.doubled,
        "rows too low": sum(rows.get(key, 0) < times for key, times in expected.items()),
        "rows too high": sum(rows.get(key, 0) > times for key, times in expected.items()),
        "away": sorted(events.longest(at, since) for at in range(PARTITIONS)),
        "restarts": second.restarts,
    }  # fmt: skip


def _wait_for_both(admin: AdminClient, group: str, folder: Path) -> None:
    """Until two members of its group share the partitions."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        members = [it for found in admin.list_groups(group, timeout=10) if found.id == group for it in found.members]
        if [bool(assigned(it.assignment or b"")) for it in members] == [True, True]:
            return
        time.sleep(0.5)
    words = "\n".join(last_words(it, 5) for it in folder.glob("*.log"))
    raise TimeoutError(f"two members of {group} do not share its partitions:\n{words}")


def _rows(address: str, contestant: Contestant, prefix: str, inbox: str) -> dict[str, int]:
    """How many events each row in the table's topic has, once none changes any more."""
    reader = topic.Reader(address, [contestant.table(prefix, inbox)])
    rows: dict[str, int] = {}
    changed = time.monotonic()
    while time.monotonic() < changed + ROWS_STILL:
        for message in reader.to_the_end():
            if message.value() and (found := contestant.row(message.key() or b"", message.value() or b"")):
                rows[found[0]], changed = found[1]["n"], time.monotonic()
        time.sleep(0.2)
    reader.close()
    return rows


def run(address: str, folder: str, keys: str, name: str, session: str = "") -> dict[str, Any]:
    return killed(address, Path(folder), int(keys), MAKERS[name](lambda _: None), session)
