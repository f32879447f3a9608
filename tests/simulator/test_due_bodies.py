"""A gateway that is away, and reminders for later: what waits leaves memory, and is called and fires as if it had not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, murmur2

from streams import App, Event
from streams.codec import codec_of
from streams.data import EventData
from streams.engine.changes import PendingCall, PendingTimer
from streams.engine.image import Image
from streams.engine.times import from_micros, to_micros
from streams.kafka.topics import topic_names
from streams.worker.assemble import WorkerParts
from streams.worker.due_bodies import IN_MEMORY
from tests.applications import shop, timed
from tests.applications.shop.events import PaymentCharge, PaymentCharged
from tests.applications.timed.events import AlarmTouch
from tests.simulator.clients import MemoryConsumer, MemoryMessage, clients
from tests.simulator.gateways import LoopFlag, VirtualLoop
from tests.simulator.time import Process
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, SteppedWorker

KEYS, EACH = 12, 3
"""Keys, and requests of each."""
HOUR = timedelta(hours=1).total_seconds()


class CallingWorker(SteppedWorker):
    """A worker whose gateways are called in `step`, too."""

    def __init__(self, site: MemorySite) -> None:
        clock = site.broker.clock
        loop = self._loop = VirtualLoop(clock)
        process = Process(clock, lambda: LoopFlag(clock, loop))
        made = clients(site.broker, site.consumer)
        parts = WorkerParts(
            site.app, site.config, made, codec_of(site.app), process.runtime, lambda: loop, due_bytes=site.due_bytes,
            call_bytes=site.due_bytes,
        )
        super().__init__(parts, process, site.namespace, 0)

    @property
    def images(self) -> list[Image]:
        return list(self.cycle.tasks.images().values())

    @property
    def pending(self) -> int:
        return sum(len(image.calls) + len(image.due) for image in self.images)

    @property
    def in_memory(self) -> int:
        """How many of those have their bodies."""
        waiting = [it for image in self.images for it in (*image.calls.values(), *image.due.values())]
        return sum(isinstance(it, PendingCall | PendingTimer) for it in waiting)

    def step(self) -> None:
        self._loop.step()
        super().step()

    def go_on(self, until: Callable[[], bool]) -> None:
        for _ in range(10 * ENOUGH):
            self.step()
            if until():
                return
        raise AssertionError(f"after {10 * ENOUGH} steps {self.pending} calls and timers wait")

    def stop(self) -> None:
        super().stop()
        self._loop.end()


class Cards(shop.CardApi):
    """A card company that is away for a while."""

    def __init__(self) -> None:
        self.away = True
        self.tried = 0
        self.charged: defaultdict[str, list[int]] = defaultdict(list)

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
        self.tried += 1
        if self.away:
            raise ConnectionError("away")
        self.charged[event.key].append(event.data.amount)
        return PaymentCharged(order=event.key, receipt=event.id)


def site_of(app: App, namespace: str, state: Path, **others: str) -> MemorySite:
    """With little memory for what waits."""
    site = MemorySite(app, namespace, state, **others)
    site.due_bytes = 1_000
    return site


def all_handled(site: MemorySite) -> bool:
    """The end of a transaction has an offset, too, and is nothing to be handled."""
    done = site.markers()
    inboxes = {at: site.broker.partition((topic_names("", site.namespace).inbox, at)) for at in range(PARTITIONS)}
    return all(it.readable(done[at].inbox_next if at in done else 0, committed=True) is None for at, it in inboxes.items())


def ask(site: MemorySite) -> None:
    for number in range(EACH):
        for key in range(KEYS):
            site.publish(PaymentCharge(order=f"o{key}", amount=number))


@pytest.mark.parametrize("restarted", [False, True])
def test_requests_that_wait_leave_memory_and_are_made_in_order_later(tmp_path: Path, restarted: bool) -> None:
    """By the worker that has tried them, and by one that takes over; of a key one after the other."""
    cards = Cards()
    site = site_of(shop.app(cards), "payment", tmp_path, gateway_tries="100")
    worker = CallingWorker(site)
    ask(site)
    worker.go_on(lambda: all_handled(site) and worker.pending == KEYS * EACH and cards.tried > 2 * KEYS)
    assert worker.in_memory < KEYS * EACH // 2
    if restarted:
        worker.stop()
        worker = CallingWorker(site)
        worker.go_on(lambda: worker.pending == KEYS * EACH)
        assert worker.in_memory < KEYS * EACH
    cards.away = False
    worker.go_on(lambda: worker.pending == 0 and all_handled(site))
    assert cards.charged == {f"o{key}": [*range(EACH)] for key in range(KEYS)}
    assert site.logged() == {f"o{key}": 2 * EACH for key in range(KEYS)}
    worker.stop()


def test_who_is_given_up_takes_along_what_is_not_in_memory(tmp_path: Path) -> None:
    """In order, with its body: an operator sees what was asked."""
    site = site_of(shop.app(Cards()), "payment", tmp_path, gateway_tries="2")
    site.due_bytes = 0
    worker = CallingWorker(site)
    ask(site)
    worker.go_on(lambda: all_handled(site) and worker.pending == 0)
    parked = {key: [it.offset for it in queue] for image in worker.images for key, queue in image.parked.items()}
    kept = {entry.key: entry.value for entry in site._committed(topic_names("", "payment").parked)}
    asked = {(at, str(offset).encode()): entry.value for at in range(PARTITIONS) for offset, entry in inbox(site, at)}
    assert {key: len(offsets) for key, offsets in parked.items()} == {f"o{key}": EACH for key in range(KEYS)}
    assert all(offsets == sorted(offsets) for offsets in parked.values())
    assert all(value in asked.values() for value in kept.values())
    worker.stop()


def inbox(site: MemorySite, at: int) -> list[tuple[int, Any]]:
    return list(site.broker.partition((topic_names("", site.namespace).inbox, at)).committed())


def test_a_request_that_an_operator_deleted_is_not_made_and_others_are(tmp_path: Path) -> None:
    """A worker agrees with the topic, as its successor would."""
    cards = Cards()
    site = site_of(shop.app(cards), "payment", tmp_path, gateway_tries="100")
    site.due_bytes = 0
    worker = CallingWorker(site)
    ask(site)
    worker.go_on(lambda: all_handled(site) and worker.pending == KEYS * EACH)
    at = int(murmur2(b"o3", PARTITIONS))
    [first, *_] = worker.cycle.tasks.images()[at].calls.of("o3")
    due = topic_names("", "payment").due, at
    site.broker.append(due, first.reference.encode(), None, None, None)
    site.broker.partition(due).compact()
    cards.away = False
    worker.go_on(lambda: worker.pending == 0 and all_handled(site))
    assert cards.charged["o3"] in ([1, 2], [0, 1, 2])  # its body may have been asked for before
    assert {key: len(amounts) for key, amounts in cards.charged.items() if key != "o3"} == {
        f"o{key}": EACH for key in range(KEYS) if key != 3
    }  # fmt: skip
    worker.stop()


class Silent(MemoryConsumer):
    """A consumer that is told nothing of the due topic for a while."""

    broken = False

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        if self.broken and any(topic == topic_names("", "payment").due for topic, _ in self._at):
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return super().consume(count, timeout)


@pytest.fixture
def silent() -> Iterator[type[Silent]]:
    yield Silent
    Silent.broken = False


def test_calls_wait_until_the_topic_can_be_read(tmp_path: Path, silent: type[Silent]) -> None:
    """Events are handled meanwhile."""
    cards = Cards()
    site = site_of(shop.app(cards), "payment", tmp_path, gateway_tries="100")
    site.due_bytes, site.consumer = 0, silent
    worker = CallingWorker(site)
    ask(site)
    worker.go_on(lambda: all_handled(site) and worker.pending == KEYS * EACH and worker.in_memory == 0)
    cards.away, silent.broken = False, True
    site.publish(PaymentCharged(order="other", receipt="r"))
    worker.go_on(lambda: site.logged()["other"] == 1)
    silent.broken = False
    worker.go_on(lambda: worker.pending == 0 and all_handled(site))
    assert cards.charged == {f"o{key}": [*range(EACH)] for key in range(KEYS)}
    worker.stop()


def touched(state: Path, due_bytes: int, *, restarted: bool) -> tuple[dict[bytes, list[bytes | None]], int]:
    """What the log of each key with timers holds in the end, and how many timers had their events in memory meanwhile.

    Some fire by the wall clock, others before an event of their key that comes from ahead of it.
    """
    site = MemorySite(timed.app(), "alarm", state)
    site.due_bytes = due_bytes
    worker = CallingWorker(site)
    for number in range(40):
        site.publish(AlarmTouch(name=f"k{number % 8}", number=number % 3, after=1 + number % 5))
    worker.go_on(lambda: all_handled(site) and worker.pending == 40)
    kept = worker.in_memory
    if restarted:
        worker.stop()
        worker = CallingWorker(site)
        worker.go_on(lambda: worker.pending == 40)
    for key in range(4):
        publish_at(site, AlarmTouch(name=f"k{key}", number=1), site.broker.clock.now() + round(2.5 * HOUR * 1e6))
    worker.go_on(lambda: all_handled(site))
    site.broker.clock.step(12 * HOUR)
    worker.go_on(lambda: worker.pending == 0)
    worker.stop()
    log: defaultdict[bytes, list[bytes | None]] = defaultdict(list)
    for entry in site._committed(topic_names("", "alarm").log):
        log[(entry.key or b"").rpartition(b"@")[0]].append(entry.value)
    return log, kept


def publish_at(site: MemorySite, data: EventData, time: int) -> None:
    key, headers = data.key.encode(), [("ce_time", from_micros(time).isoformat().encode())]
    at = topic_names("", site.namespace).inbox, int(murmur2(key, PARTITIONS))
    site.broker.append(at, key, codec_of(site.app).encode(data), headers, None)


def test_a_time_far_ahead_fires_the_timers_of_one_day_in_a_worker(tmp_path: Path) -> None:
    """It came from a producer that no door has asked. What is due later waits for the clock, and the event is handled."""
    site = MemorySite(timed.app(), "alarm", tmp_path)
    worker = CallingWorker(site)
    for after in (20, 30):
        site.publish(AlarmTouch(name="k", after=after))
    worker.go_on(lambda: all_handled(site) and worker.pending == 2)
    publish_at(site, AlarmTouch(name="k"), to_micros(datetime(9999, 1, 1, tzinfo=UTC)))
    worker.go_on(lambda: all_handled(site))
    assert worker.pending == 1
    site.broker.clock.step(30 * HOUR)
    worker.go_on(lambda: worker.pending == 0)
    worker.stop()


@pytest.mark.parametrize("restarted", [False, True])
def test_timers_fire_as_if_all_were_in_memory(tmp_path: Path, restarted: bool) -> None:
    """In the same order, key by key, whatever fires them."""
    expected, all_of_them = touched(tmp_path / "whole", IN_MEMORY, restarted=restarted)
    assert all_of_them == 40
    for name, most in (("none", 0), ("few", 4_000)):
        log, kept = touched(tmp_path / name, most, restarted=restarted)
        assert kept < 40
        assert log == expected
