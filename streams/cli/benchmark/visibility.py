"""How soon after its publication an event is visible: in the log, and by the same transaction in the table."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import TopicPartition

from streams.config import Config
from streams.engine.envelope import log_header
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.offsets import stable_ends
from streams.kafka.tables_and_logs import partitions_of
from streams.kafka.topics import topic_names

LAST = 20.0
"""s that the last event may take."""
ADVANCE = 50
"""How many are published between two reports."""
NEARLY = 0.95
"""The part of a rate from which on it is reached."""
WARM_UP = 0.25
"""The part of the events that is not measured."""


class Visibility(NamedTuple):
    """Milliseconds from handing an event to the Kafka client until a reader of committed records has it.

    `unseen` were not in the log in time, such as parked ones. `outcomes` and `reasons` of rejections count the others. `rate` is
    how many a second were published: fewer than were asked for if this machine cannot.
    """

    p50: float
    p99: float
    seen: int
    unseen: int
    outcomes: Counter[str]
    reasons: Counter[str]
    rate: float


class VisibilityTrial:
    """Follows the log while `publish` publishes at an even rate; it returns the event's id."""

    def __init__(self, clients: Clients, config: Config, namespace: str) -> None:
        log, admin = topic_names(config.prefix, namespace).log, clients.admin()
        places = [(log, number) for number in range(partitions_of(admin, log))]
        ends = stable_ends(admin, places)
        self._consumer = clients.consumer("retold-bench", partition_eof=False, fetch_wait=0.005)
        self._consumer.assign([TopicPartition(*place, ends[place]) for place in places])
        self._seen: dict[str, float] = {}
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._stop = threading.Event()

    def run(self, rate: float, seconds: float, publish: Callable[[], str], advance: Callable[[int], None]) -> Visibility:
        """`advance` is told how many are published, and raises if there is no use to go on."""
        follower = threading.Thread(target=self._follow, name="bench-follower", daemon=True)
        follower.start()
        try:
            published, reached = publish_evenly(rate, seconds, publish, advance)
            self._wait(published, advance)
        finally:
            self._stop.set()
            follower.join(10)
            self._consumer.close()
        measured = [*published.items()][int(len(published) * WARM_UP) :]
        times = sorted((self._seen[name] - at) * 1000 for name, at in measured if name in self._seen)
        unseen = sum(name not in self._seen for name in published)
        if not times:
            return Visibility(0.0, 0.0, 0, unseen, self._outcomes, self._reasons, reached)
        p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
        return Visibility(times[len(times) // 2], p99, len(times), unseen, self._outcomes, self._reasons, reached)

    def _wait(self, published: dict[str, float], advance: Callable[[int], None]) -> None:
        deadline = time.monotonic() + LAST
        while not published.keys() <= self._seen.keys() and time.monotonic() < deadline:
            advance(len(published))
            time.sleep(0.05)

    def _follow(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            now, headers = time.perf_counter(), headers_of(message)
            name = next((value for key, value in headers if key == "ce_id"), None)
            if name is None:
                continue
            header = log_header(headers)
            self._outcomes[header.outcome] += 1
            if header.reason:
                self._reasons[header.reason] += 1
            self._seen.setdefault(name.decode(errors="replace"), now)


def publish_evenly(
    rate: float, seconds: float, publish: Callable[[], str], advance: Callable[[int], None]
) -> tuple[dict[str, float], float]:
    """When each was published, and how many a second. It ends with its time, also where that was too short for all."""
    began = time.perf_counter()
    published: dict[str, float] = {}
    for number in range(max(1, int(rate * seconds))):
        ahead = began + number / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        at = time.perf_counter()
        if number and at - began > seconds:
            break
        published[publish()] = at
        if number % ADVANCE == 0:
            advance(number)
    reached = len(published) / (time.perf_counter() - began)
    return published, reached if reached < rate * NEARLY else rate
