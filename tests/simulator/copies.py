"""A site whose workers keep copies of the partitions that they do not own."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.fold import fold
from streams.engine.image import Image
from streams.kafka.topics import topic_names
from streams.worker.standby import CopyState, Standby
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryConsumer
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on

KEYS = [f"a{number}" for number in range(12)]
"""In all partitions: one without a marker looks at the others, too."""
TOPICS = topic_names("", "echo")[2:]
"""What a restore reads."""


class CopiedSite(MemorySite):
    """Its workers keep copies. `read` counts records that were read by name of client: a restore's is `retold`."""

    def __init__(self, state: Path, **others: str) -> None:
        super().__init__(probe.app(), "echo", state, **({"standbys": "1"} | others))
        self.read: Counter[str] = Counter()
        self.copied_from: dict[tuple[str, int], int] = {}
        """The first offset that was read for copies, by topic and partition."""
        self.meanwhile: list[Callable[[], None]] = []
        """What happens once, after records of copies were read and before they are taken."""
        self.told: list[MemoryMessage] = []
        """Errors that the consumer of copies is told of, instead of records."""
        self.read_messages: list[weakref.ref[MemoryMessage]] = []
        """Records that it was given."""
        read, meanwhile, there = self.read, self.meanwhile, self

        class CountedConsumer(MemoryConsumer):
            def __init__(self, broker: MemoryBroker, options: Mapping[str, Any]) -> None:
                super().__init__(broker, options)
                self._name = options["client.id"]

            def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
                if there.told and self._name == "retold-standby":
                    return [there.told.pop()]
                found = super().consume(count, timeout)
                read[self._name] += sum(it.error() is None and it.topic() in TOPICS for it in found)
                for it in found:
                    if self._name == "retold-standby" and it.error() is None:
                        there.read_messages.append(weakref.ref(it))
                        at = it.topic(), it.partition()
                        there.copied_from[at] = min(it.offset(), there.copied_from.get(at, it.offset()))
                if meanwhile and self._name == "retold-standby" and any(it.error() is None for it in found):
                    meanwhile.pop()()
                return found

        self.consumer = CountedConsumer

    def hear(self, numbers: range) -> None:
        for number in numbers:
            self.publish(EchoHear(name=KEYS[number % len(KEYS)]))

    def folded(self, partition: int) -> Image:
        """What the log says."""
        engine = Engine(self.app, "echo", codec_of(self.app))
        log = [(it.value, it.headers) for it in self._committed(topic_names("", "echo").log, partition)]
        return fold(engine, engine.image(partition), log)

    def cut(self, partition: int, lengths: Mapping[str, int]) -> None:
        """Lose all that came behind these offsets."""
        for topic, length in lengths.items():
            there = self.broker.partition((topic, partition))
            del there.entries[length:]
            there._over = 0

    def lengths(self, partition: int) -> dict[str, int]:
        return {topic: self.broker.partition((topic, partition)).end for topic in TOPICS}


def standby_of(worker: Worker) -> Standby:
    standby = worker.cycle.members.standby
    assert standby is not None
    return standby


def copies(worker: Worker) -> list[CopyState]:
    return standby_of(worker).states()


def copied(there: MemorySite, *workers: Worker) -> None:
    """Until each worker has all that the others own."""
    for _ in range(ENOUGH):
        for worker in workers:
            worker.step()
        if all({it.partition for it in copies(it) if it.ready} | it.partitions() == set(range(PARTITIONS)) for it in workers):
            for _ in range(4):  # and what came meanwhile
                for worker in workers:
                    worker.step()
            return
    raise AssertionError(f"after {ENOUGH} steps copies are missing: {[copies(it) for it in workers]}")


def with_copies(state: Path, events: int) -> tuple[CopiedSite, Worker, Worker]:
    """Two workers that have handled so many events, and have a copy of what the other one owns."""
    there = CopiedSite(state)
    first, second = Worker(there, 0), Worker(there, 1)
    there.hear(range(events))
    go_on(there, first, second)
    copied(there, first, second)
    return there, first, second


def check(there: CopiedSite, worker: Worker, times: int) -> None:
    """All rows are with this worker, and each is what the log says."""
    images = worker.cycle.tasks.images()
    assert set(images) == set(range(PARTITIONS))
    for at, image in images.items():
        folded = there.folded(at)
        assert (image.rows, image.sequence) == (folded.rows, folded.sequence)
    assert there.logged() == dict.fromkeys(KEYS, times)


def restored(worker: Worker) -> None:
    for _ in range(ENOUGH):
        worker.step()
        if len(worker.cycle.tasks.running()) == PARTITIONS:
            return
    raise AssertionError("partitions are not restored")
