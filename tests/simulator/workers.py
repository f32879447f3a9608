"""Workers of one namespace on a `MemoryBroker`, a cycle at a time, in whatever order a test drives them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import murmur2

from streams import App
from streams.codec import codec_of
from streams.data import EventData
from streams.engine import marker
from streams.engine.image import Image
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.topics import group_of, topic_names
from streams.worker.assemble import WorkerParts, cycle_of
from streams.worker.lasting_work import lasting
from streams.worker.parked_bodies import IN_MEMORY
from streams.worker.polled_batch import PolledBatch
from streams.worker.restore import RestoredImage
from streams.worker.restore_progress import RestoreProgress
from streams.worker.worker_metrics import WorkerMetrics
from tests.simulator.broker import Entry, MemoryBroker
from tests.simulator.clients import MemoryConsumer, clients
from tests.simulator.time import Process, VirtualClock
from tests.support.workers import settings

PARTITIONS = 4
ENOUGH = 400
"""Steps in which anything that can be handled is."""


class SteppedWorker:
    """`step` lets it do half a cycle, poll or handle, and one step of each restore."""

    def __init__(self, parts: WorkerParts, process: Process, namespace: str, slot: int) -> None:
        """`parts` has the runtime of `process`."""
        self._process = process
        self.cycle = cycle_of(parts, namespace, slot)
        beside = process.runtime.background("beside", 3)
        beside.start(lasting(self.cycle.members.topics.watch, namespace))
        if (standby := self.cycle.members.standby) is not None:
            beside.start(lasting(partial(standby.follow, self.cycle.tasks.partitions), namespace))
        if (rows := self.cycle.members.rows) is not None:
            beside.start(lasting(rows.watch, namespace))
        self.cycle.open()
        self._batch: PolledBatch | None = None

    def step(self) -> None:
        self._process.step()
        if self._batch is None:
            self._batch = self.cycle.poll()
        else:
            batch, self._batch = self._batch, None
            self.cycle.handle(batch)

    def has_records(self) -> bool:
        """Whether they are polled, and are handled by the next step."""
        return self._batch is not None and len(self._batch) > 0

    def take(self) -> PolledBatch:
        """The batch that was polled, for a test that has it handled in another way."""
        batch, self._batch = self._batch, None
        assert batch is not None
        return batch

    def partitions(self) -> set[int]:
        return set(self.cycle.tasks.partitions())

    def restore(self, partition: int) -> Image:
        """One partition alone, whoever owns it."""
        steps = self.cycle.tasks._restorer.restore(partition, never_cancelled, RestoreProgress(partition))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                restored: RestoredImage = end.value
                return restored.image

    def stop(self) -> None:
        """As one that is told to."""
        self.cycle.stopping.set()
        self.cycle.tasks.give_up()
        self.cycle.finish()
        self.cycle.close()


class Worker(SteppedWorker):
    """Of a site's namespace, with its application or another version of it."""

    def __init__(
        self, site: MemorySite, slot: int, app: App | None = None, metrics: WorkerMetrics | None = None, *, waits: bool = False
    ) -> None:
        process = Process(site.broker.clock)
        made = clients(site.broker, site.consumer)
        app = app or site.app
        parts = WorkerParts(
            app, site.config, made, codec_of(app), process.runtime, _no_gateways, metrics=metrics, parked_bytes=site.parked_bytes,
            due_bytes=site.due_bytes, call_bytes=site.due_bytes, waits=waits,
        )
        super().__init__(parts, process, site.namespace, slot)


class MemorySite:
    """One namespace of `app`, its topics, and who publishes into it."""

    def __init__(self, app: App, namespace: str, state: Path, **others: str) -> None:
        """`others` are settings."""
        self.app, self.namespace = app, namespace
        self.consumer: Callable[[MemoryBroker, Mapping[str, Any]], MemoryConsumer] = MemoryConsumer
        self.parked_bytes = self.due_bytes = IN_MEMORY
        self.config = settings(state, "", partitions=str(PARTITIONS), **others)
        self.broker = MemoryBroker(VirtualClock())
        self._codec = codec_of(app)
        for space in app.namespaces:
            self.broker.create(topic_names("", space.name)[1:], PARTITIONS)
        self.broker.create(["retold-schemas"], 1)

    def publish(self, data: EventData) -> None:
        """Without an id of its own: two equal events are two, so what is read twice is handled twice, and shows."""
        key = data.key.encode()
        topic_partition = topic_names("", self.namespace).inbox, int(murmur2(key, PARTITIONS))
        self.broker.append(topic_partition, key, self._codec.encode(data), None, None)

    def expire(self, number: int) -> None:
        """The group takes one of its members for dead."""
        self.broker.expire(group_of("", self.namespace), number)

    def logged(self) -> Counter[str]:
        """How often each key is in the committed event log."""
        topic = topic_names("", self.namespace).log
        return Counter(
            entry.key.decode().rpartition("@")[0] for entry in self._committed(topic) if entry.key is not None
        )

    def markers(self) -> dict[int, marker.Marker]:
        """The last of each partition."""
        topic = topic_names("", self.namespace).table
        return {
            at: marker.decode(entry.value or b"")
            for at in range(PARTITIONS)
            for entry in self._committed(topic, at)
            if entry.key == marker.KEY
        }

    def handled(self) -> bool:
        """Whether nothing is left in the inbox."""
        inbox = topic_names("", self.namespace).inbox
        there = {at: it.end for at, it in enumerate(self.broker.topics[inbox]) if it.end}
        done = self.markers()
        return all(at in done and done[at].inbox_next >= end for at, end in there.items())

    def _committed(self, topic: str, *partitions: int) -> Iterator[Entry]:
        for at in partitions or range(PARTITIONS):
            yield from (entry for _, entry in self.broker.partition((topic, at)).committed())


def _no_gateways() -> asyncio.AbstractEventLoop:
    raise AssertionError("the application of this test has no gateways")


def go_on(there: MemorySite, *workers: Worker) -> None:
    """By turns, until all is handled."""
    for _ in range(ENOUGH):
        for worker in workers:
            worker.step()
        if there.handled():
            return
    raise AssertionError(f"after {ENOUGH} steps events are left: {there.markers()}")
