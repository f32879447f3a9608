"""An application on several partitions in memory, without a broker: random batches in a random order, each seed another one."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import murmur2

from streams import App
from streams.codec import codec_of
from streams.data import EventData, Record, namespace_of
from streams.engine.attributes import time_text
from streams.engine.batch import CallAnswer
from streams.engine.changes import Changes, HandledRecord
from streams.engine.control import ClockCommand, OperatorCommand, encode
from streams.engine.duplicates import DEFAULT_WINDOW
from streams.engine.engine import Engine, Inbox
from streams.engine.event_handlers import Limits
from streams.engine.records import Headers, InboxRecord
from streams.engine.step import CorrectionStep, encode_step
from streams.engine.stored import log_record
from streams.engine.timers import due_timers
from streams.engine.times import from_micros, to_micros
from streams.testing.world_io import ask, headers_of

Place = tuple[str, int]


class Partitions:
    """`now` is the wall clock, which the test moves. `most` records at most are a batch. `window`: ids that are remembered."""

    def __init__(
        self, app: App, count: int, *, now: datetime, seed: int = 0, most: int = 8, window: int = DEFAULT_WINDOW
    ) -> None:
        self.app, self.count, self.now, self.random, self._most = app, count, now, random.Random(seed), most
        self.codec = codec_of(app)
        self._gateways = {gateway.data: gateway for gateway in app.gateways}
        self.engines = {
            space.name: Engine(
                app, space.name, self.codec, limits=Limits(window=window), inbox=Inbox(space.name, space.name, self.partition_of)
            )
            for space in app.namespaces
        }
        self.images = {(name, at): engine.image(at) for name, engine in self.engines.items() for at in range(count)}
        self.inboxes: dict[Place, deque[InboxRecord]] = defaultdict(deque)
        self.published: dict[Place, list[InboxRecord]] = defaultdict(list)
        """All that came into the inboxes; `inboxes` has what is not handled yet."""
        self.logs: dict[Place, list[HandledRecord]] = defaultdict(list)
        self.changes: list[tuple[Place, Changes]] = []
        self._offsets: dict[Place, int] = defaultdict(int)

    def partition_of(self, key: bytes) -> int:
        return int(murmur2(key, self.count))

    def publish(self, data: EventData, event_id: str, time: datetime, expected: int | None = None) -> None:
        """`expected`: the version that its row is to have."""
        headers = headers_of(data, event_id, "test", time_text(time))
        if expected is not None:
            headers = [*headers, ("ce_expectedversion", str(expected).encode())]
        self._put(namespace_of(data.event_type), data.key.encode(), self.codec.encode(data), headers)

    def say(self, namespace: str, command: OperatorCommand) -> None:
        self._put(namespace, command.key.encode(), encode(command), [])

    def correct(self, step: CorrectionStep) -> None:
        self._put(step.namespace, step.entity.encode(), encode_step(step), [])

    def clock(self, name: str, at: datetime | None) -> None:
        """An import's clock, to each partition."""
        value = encode(ClockCommand("clock", name, None if at is None else to_micros(at)))
        for place in self.images:
            self._append(place, b"", value, [])

    def _put(self, namespace: str, key: bytes, value: bytes, headers: Headers) -> None:
        self._append((namespace, self.partition_of(key)), key, value, headers)

    def _append(self, place: Place, key: bytes, value: bytes, headers: Headers) -> None:
        record = (self._offsets[place], key, value, headers, to_micros(self.now) // 1000)
        self.inboxes[place].append(record)
        self.published[place].append(record)
        self._offsets[place] += 1

    def step(self) -> bool:
        """Handle a batch of some partition. False: all inboxes are read."""
        ready = [place for place, inbox in self.inboxes.items() if inbox]
        if not ready:
            return False
        place = self.random.choice(ready)
        inbox = self.inboxes[place]
        records = [inbox[number] for number in range(min(len(inbox), self.random.randint(1, self._most)))]
        changes = self.engines[place[0]].handle(self.images[place], records, to_micros(self.now))
        for _ in range(changes.taken):
            inbox.popleft()
        self._made_true(place, changes)
        return True

    def fire(self) -> bool:
        """Fire the timers that are due where the inbox is read to its end. False: there is none."""
        fired = False
        for place, image in self.images.items():
            while not self.inboxes[place] and (timers := due_timers(image, to_micros(self.now))):
                batch = self.engines[place[0]].begin(image, to_micros(self.now))
                batch.fire(timers)
                self._made_true(place, batch.changes)
                fired = True
        return fired

    def settle(self) -> None:
        """Until nothing is left to do now."""
        while self.step() or self.fire():
            pass

    def _made_true(self, place: Place, changes: Changes) -> None:
        assert changes.blocked is None
        engine, image = self.engines[place[0]], self.images[place]
        image.apply(changes)
        self.logs[place] += changes.log
        self.changes.append((place, changes))
        emitted = list(changes.emitted)
        for call in changes.calls.values():
            batch = engine.begin(image, to_micros(self.now))
            batch.answer(CallAnswer(call, ask(self._gateways[type(call.event.data)], call.event)))
            image.apply(batch.changes)
            self.changes.append((place, batch.changes))
            emitted += batch.changes.emitted
        for record in emitted:
            if record.namespace in self.engines:  # others are of another application
                self._put(*record)

    def rows(self, namespace: str) -> dict[str, Record]:
        images = [image for (name, _), image in self.images.items() if name == namespace]
        return {key: row for image in images for key, (row, _) in image.rows.items() if row is not None}

    def by_key(self, namespace: str) -> Mapping[str, Sequence[Any]]:
        """What the log says of each key: all but the sequences and recorded times."""
        found: dict[str, list[Any]] = defaultdict(list)
        for (name, _), log in sorted(self.logs.items()):
            for it in log if name == namespace else ():
                assert it.event is not None
                found[it.event.key].append((it.event.id, it.event.data, it.event.time, it.event.cause, it.outcome, it.reason))
        return dict(found)

    def log_records(self, place: Place) -> list[tuple[bytes, Headers]]:
        """Value and headers, for a fold."""
        return [log_record(it)[1:] for it in self.logs[place]]

    def next_due(self) -> datetime | None:
        """When the next timer of all is due."""
        found = [at for image in self.images.values() if (at := image.due.earliest) is not None]
        return from_micros(min(found)) if found else None
