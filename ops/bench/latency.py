"""Publish → row visible: how long after `produce()` a read_committed follower of the table meets the event's row.

Also of a request whose gateway answers at once: the row is its answer's.

Publisher and follower are one process, so one clock. No two events of a run have the same key, so a row's key says
which event it came from.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient

from ops.bench import answering
from ops.bench.answering.events import AskPut
from ops.bench.child import last_words, running
from ops.bench.contestant import Contestant, environment
from ops.bench.topic import QUIET
from ops.bench.watch import GaveUp, WrongResult
from ops.bench.work import PARTITIONS, encode, event_number, headers_of
from streams.codec import codec_of
from streams.errors import how_ended

Headers = list[tuple[str, bytes]]
WARM_UP = 0.25
"""The part of the events that is not measured."""

FIRST_ROW_SECONDS = 60
"""How long a worker may take from its start to its first row."""

LAST_ROW_SECONDS = 10
REQUESTS = codec_of(answering.app())
SETTLE = 20
"""Events published one by one, each waited for, before anything is measured: the worker has started and is warm."""


Encode = Callable[[int], tuple[str, bytes, bytes, Headers]]
"""Gives the n-th event: its inbox's name without the prefix, key, value and headers."""


def signup(number: int) -> tuple[str, bytes, bytes, Headers]:
    event = event_number(number, number)
    key = event["user"].encode()
    return "bench", key, encode(event), headers_of(number, key)


def request(number: int) -> tuple[str, bytes, bytes, Headers]:
    """For the gateway of `ops.bench.answering`."""
    name = f"asked-{number:05d}"
    return "ask", name.encode(), REQUESTS.encode(AskPut(name=name, number=number)), []


@dataclass
class Trial:
    """`plan`: events a second → events in all, published evenly, one rate after the other to the same worker.

    All names begin with `prefix`.
    """

    contestant: Contestant
    prefix: str
    plan: Mapping[int, int]
    broker: str
    folder: Path
    event: Encode = signup
    published: dict[bytes, float] = field(default_factory=dict)
    seen: dict[bytes, float] = field(default_factory=dict)
    number: int = 0

    def go(self) -> dict[int, dict[str, float]]:
        """p50 and p99 in ms, by rate. Raises GaveUp."""
        self.folder.mkdir(parents=True)
        words = self.folder / "output.txt"
        self.contestant.prepare(AdminClient({"bootstrap.servers": self.broker, **QUIET}), self.prefix)
        told = environment(self.prefix, self.contestant.name, self.broker, self.folder / "state")
        told |= self.contestant.settings
        with running(self.contestant.command, told, words) as child:
            stop = threading.Event()
            follower = threading.Thread(
                target=self._follow, args=(self.contestant.table(self.prefix, ""), stop), daemon=True
            )
            follower.start()
            try:
                found = self._measure()
            except WrongResult as error:
                how = "goes on" if (code := child.poll()) is None else how_ended(code)
                raise GaveUp(f"{error}; {self.contestant.name} {how}. Its last words:\n{last_words(words)}") from error
            finally:
                stop.set()
                follower.join(10)
        return found

    def _follow(self, table: str, stop: threading.Event) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.broker,
                "group.id": "benchmark-follower",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                **QUIET,
            }
        )
        consumer.assign([TopicPartition(table, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        while not stop.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.seen.setdefault(message.key(), time.perf_counter())
        consumer.close()

    def _measure(self) -> dict[int, dict[str, float]]:
        producer = Producer({"bootstrap.servers": self.broker, "enable.idempotence": True, "linger.ms": 0, **QUIET})
        deadline = time.monotonic() + FIRST_ROW_SECONDS
        for _ in range(SETTLE):
            self._wait_for(self._send(producer), deadline)
        return {rate: self._one_rate(producer, rate, events) for rate, events in self.plan.items()}

    def _one_rate(self, producer: Producer, rate: int, events: int) -> dict[str, float]:
        start = time.perf_counter()
        keys = []
        for number in range(events):
            ahead = start + number / rate - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            keys.append(self._send(producer))
        producer.flush(10)
        deadline = time.monotonic() + LAST_ROW_SECONDS
        for key in keys:
            self._wait_for(key, deadline)
        return self._percentiles(keys[int(events * WARM_UP) :])

    def _send(self, producer: Producer) -> bytes:
        inbox, key, value, headers = self.event(self.number)
        self.published[key] = time.perf_counter()
        producer.produce(self.prefix + inbox, value, key, murmur2(key, PARTITIONS), headers=headers)
        producer.poll(0)
        self.number += 1
        return key

    def _wait_for(self, key: bytes, deadline: float) -> None:
        while key not in self.seen:
            if time.monotonic() > deadline:
                raise WrongResult(f"the row of {key!r} did not appear; {len(self.seen)} of {len(self.published)} did")
            time.sleep(0.001)

    def _percentiles(self, keys: Sequence[bytes]) -> dict[str, float]:
        times = sorted((self.seen[key] - self.published[key]) * 1000 for key in keys)
        return {"p50": statistics.median(times), "p99": times[min(len(times) - 1, int(len(times) * 0.99))]}
