"""A publisher that knows what it published: each event with an id, its time, and whether the broker confirmed it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, murmur2

from streams.codec import AvroCodec, codec_of
from streams.config import Config
from streams.data import EventData, namespace_of
from streams.engine.attributes import time_text
from streams.kafka.clients import Clients
from streams.kafka.topics import topic_names
from streams.testing.world_io import headers_of
from tests.chaos.chaos_applications import Application
from tests.chaos.plan import Size
from tests.support.other_data import other_data

SOURCE = "chaos"
FIRST, AGAIN, OTHERWISE, UNREADABLE, MISPLACED = "first", "again", "otherwise", "unreadable", "misplaced"
"""How an event is published: for the first time; again, as by somebody who got no answer; with other data by an id that was used;
in no format; into another partition than that of its key."""
SHARES = {FIRST: 95, AGAIN: 2, OTHERWISE: 1, UNREADABLE: 1, MISPLACED: 1}
ORDERLY = 300
"""The first events are published as they should be: others depend on them."""
DELIVERY = 240.0
"""s that the broker has to confirm an event."""
TICK = 0.02


class Published(NamedTuple):
    """`at` in s since 1970."""

    namespace: str
    key: str
    event_id: str
    at: float
    how: str = FIRST


class Sent(NamedTuple):
    """An event that was published for the first time, in the partition of its key."""

    data: EventData
    number: int


class ChaosPublisher:
    """Publishes from its start on in a thread of its own, at an even pace; `finish` waits for the broker to confirm all."""

    def __init__(self, clients: Clients, config: Config, application: Application, size: Size, seed: int) -> None:
        self._prefix, self._partitions, self._application, self._size = config.prefix, config.partitions, application, size
        self._codecs = _codecs(application)
        self._dice = random.Random(seed)
        self._producer = clients.producer("chaos-publisher", delivery=DELIVERY)
        self._thread = threading.Thread(target=self._run, name="chaos-publisher", daemon=True)
        self._stop = threading.Event()
        self._began = datetime.now(UTC)
        self._error: BaseException | None = None
        self._sent: list[Sent] = []
        self.published: list[Published] = []
        self.confirmed: dict[int, tuple[int, int]] = {}
        """Indexes of `published`, each with partition and offset in its inbox."""
        self.refused: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """At once; what is not sent yet never will be."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def finish(self, tick: Callable[[], None]) -> None:
        """Returns when all are confirmed, and calls `tick` meanwhile. Raises AssertionError if some are not in time."""
        until = time.monotonic() + self._size.seconds + DELIVERY
        while self._thread.is_alive() and time.monotonic() < until:
            tick()
            time.sleep(TICK)
        if self._error is not None:
            raise self._error
        left = len(self.published) - len(self.confirmed)
        assert not left, f"the broker did not confirm {left} of {len(self.published)} events: {self.refused[:3]}"

    def _run(self) -> None:
        try:
            self._publish_all()
        except BaseException as error:  # noqa: BLE001 - whoever waits for this thread raises it
            self._error = error

    def _publish_all(self) -> None:
        began, size = time.monotonic(), self._size
        while len(self.published) < size.events and not self._stop.is_set():
            due = min(size.events, int((time.monotonic() - began) / size.seconds * size.events) + 1)
            for number in range(len(self.published), due):
                self._publish_next(number)
            self._producer.poll(TICK)
        until = time.monotonic() + DELIVERY
        while len(self._producer) and not self._stop.is_set() and time.monotonic() < until:
            self._producer.poll(0.1)

    def _publish_next(self, number: int) -> None:
        [how] = self._dice.choices(list(SHARES), list(SHARES.values())) if number >= ORDERLY else [FIRST]
        if how in (AGAIN, OTHERWISE):
            it = self._dice.choice(self._sent)
            self._send(how, other_data(it.data) if how == OTHERWISE else it.data, it.number)
            return
        data = self._application.make(number, self._dice)
        if how == FIRST:
            self._sent.append(Sent(data, number))
        self._send(how, data, number)

    def _send(self, how: str, data: EventData, number: int) -> None:
        index, namespace = len(self.published), namespace_of(data.event_type)
        self.published.append(Published(namespace, data.key, f"e{number}", time.time(), how))
        headers = headers_of(data, f"e{number}", SOURCE, time_text(self._time_of(number)))

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.confirmed[index] = message.partition() or 0, message.offset() or 0
            else:
                self.refused.append(f"e{number}: {error.str()}")

        value = b"no Avro" if how == UNREADABLE else self._codecs[type(data)].encode(data)
        topic, key = topic_names(self._prefix, namespace).inbox, data.key.encode()
        partition = (int(murmur2(key, self._partitions)) + 1) % self._partitions if how == MISPLACED else -1
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _time_of(self, number: int) -> datetime:
        """Evenly from the application's past up to now."""
        past = self._application.past or timedelta(seconds=self._size.seconds)
        return self._began - past + past * (number / self._size.events)


def _codecs(application: Application) -> dict[type[EventData], AvroCodec]:
    """For each class of an event, that of the first version that has it."""
    found: dict[type[EventData], AvroCodec] = {}
    for make in application.apps:
        app = make()
        codec = codec_of(app)
        found = {data: codec for space in app.namespaces for data in space.handlers} | found
    return found
