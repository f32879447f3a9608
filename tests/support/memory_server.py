"""A server whose Kafka is a World: real HTTP on a free port, nothing else outside this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from streams import App
from streams.codec import codec_of
from streams.config import Config
from streams.data import EventData, namespace_of
from streams.engine.attributes import attributes
from streams.engine.envelope import from_micros
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.errors import BrokerError, OutcomeTimeout
from streams.kafka.follow import LogEvent
from streams.kafka.status import Status
from streams.receipt import Receipt, set_aside
from streams.server.followed import Followed, Place
from streams.server.keys import has_key
from streams.server.listen import listen, url_of
from streams.server.parts import Parts
from streams.server.recent import Known, known
from streams.server.run import answer
from streams.testing import World
from tests.support.ending import see_ended
from tests.support.workers import settings, until


class MemoryKafka:
    """Publisher and Archive: what is published is handled at once in a World, and `followed` learns of it.

    With `held` set, events are taken and not handled; with `broken` set, none is taken. With `silent` set, no event is
    confirmed in time. With `answers` cleared, it is slow: neither a confirmation comes nor what is read.
    """

    def __init__(self, app: App, followed: Followed) -> None:
        self.app, self.followed = app, followed
        self.world = World(app)
        self.held = self.broken = self.silent = False
        self.answers = threading.Event()
        self.answers.set()
        self.receipts: dict[tuple[str, int], Receipt] = {}
        self.became_later: dict[int, Known] = {}
        self.given: dict[str, dict[str, Any]] = {}
        """What came with an event, by its id; a World keeps neither its source nor its expected version."""
        self.published: list[tuple[EventData, dict[str, Any]]] = []
        self._shown = {space.name: 0 for space in app.namespaces}
        self._turn = threading.Lock()
        followed.begin({space.name: 1 for space in app.namespaces})
        followed.waits = None
        self.show()

    def publish(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
    ) -> Receipt:
        """Refuses what a Client refuses."""
        attributes(id or "none", source or "none", time or datetime.now(UTC), expected_version)
        with self._turn:
            if self.broken:
                raise BrokerError("the broker is gone")
            self.published.append((data, {"id": id, "time": time, "version": expected_version, "source": source}))
            space = namespace_of(data.event_type)
            receipt = Receipt(space, data.event_type, data.key, id or f"id-{len(self.published)}")
            self.given.setdefault(receipt.id, self.published[-1][1])
            receipt.partition, receipt.timestamp = 0, 0
            receipt.offset = sum(1 for place in self.receipts if place[0] == space)
            self.receipts[space, receipt.offset] = receipt
            if not self.held:
                self.world.when(data, id=receipt.id, time=time, expected_version=expected_version)
                self.show()
            return receipt

    def take_over(self, other: MemoryKafka) -> None:
        """The same Kafka as another server's, which this one reads from the beginning."""
        self.world, self.receipts, self.given = other.world, other.receipts, other.given
        self._shown = {space.name: 0 for space in self.app.namespaces}
        self.show()

    def confirm(self, receipt: Receipt, timeout: float = 10.0) -> None:
        assert self.answers.wait(120)
        if self.silent:
            raise OutcomeTimeout(f"{receipt.what} (id {receipt.id}) is not confirmed by Kafka, and may still arrive")

    def show(self) -> None:
        """What the World has handled, as a server follows it."""
        for space in self.app.namespaces:
            place, name = (space.name, 0), space.name
            image, logged = self.world.image(name), self.world.log(name)
            for event, header in logged[self._shown[name] :]:
                recorded = from_micros(header.recorded)
                given = self.given.get(event.id)
                if given is not None:
                    event = msgspec.structs.replace(event, source=given["source"] or "")
                    if has_key(event.source, event.id):
                        self.followed.remember(event, place, header.offset, given["version"])
                record = LogEvent(
                    name,
                    0,
                    header.sequence - 1,
                    header.sequence,
                    recorded,
                    header.outcome,
                    header.reason,
                    event,
                    bool(header.wrong_version),
                )
                self.followed.logged(record, header.offset)
            self._shown[name] = len(logged)
            for queue in image.parked.values():
                for aside in queue:
                    became = known(set_aside(aside.header), key=aside.header.key)
                    self.followed.set_aside(place, aside.offset, became)
            last = Marker(
                first=1, last=image.sequence, inbox_next=image.inbox_next, recorded=image.recorded,
                application=self.app.name, topic_ids={}, partitions=1, transactional_id="t", counters=Counters(),
            )  # fmt: skip
            rows = {key: (row, version) for key, (row, version) in image.rows.items()}
            self.followed.committed(place, last, rows)
        self.followed.bell.ring()

    def events(self, place: Place, offset: int, after: int, limit: int) -> Sequence[LogEvent]:
        assert self.answers.wait(120)
        found = []
        for event, header in self.world.log(place[0])[offset:]:
            if header.sequence > after:
                recorded = from_micros(header.recorded)
                found.append(
                    LogEvent(
                        *place,
                        header.sequence - 1,
                        header.sequence,
                        recorded,
                        header.outcome,
                        header.reason,
                        event,
                        bool(header.wrong_version),
                    )
                )
        return found[:limit]

    def receipt(self, place: Place, offset: int) -> Receipt | None:
        assert self.answers.wait(120)
        return self.receipts.get((place[0], offset))

    def became(self, receipt: Receipt) -> Known | None:
        return self.became_later.get(receipt.offset or 0)

    def status(self) -> Status:
        if self.broken:
            raise BrokerError("the broker is gone")
        return Status("memory", "", ())

    def schemas(self) -> Mapping[int, str]:
        return {}


class MemoryServer:
    """Leaving the block ends it. `http` is a client of it that speaks from this machine."""

    def __init__(self, app: App, state: Path, token: str | None = None, **others: str) -> None:
        self.config: Config = replace(settings(state, "", http_port="0", **others), http_token=token)
        self.codec = codec_of(app)
        self.followed = Followed(app, self.codec)
        self.kafka = MemoryKafka(app, self.followed)
        self.parts = Parts(app, self.config, self.codec, self.followed, self.kafka, self.kafka)
        self._stop = threading.Event()
        self._listening = listen(self.config)
        self._thread = threading.Thread(target=answer, args=(self.parts, self._listening, self._stop), daemon=True)
        # Without TLS, so that no certificates are loaded: some 0.06 s of CPU for each client.
        self.http = httpx.Client(base_url=url_of(self._listening), timeout=60.0, verify=False)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._answers() or not self._thread.is_alive(), "the server does not answer")
        return self

    def _answers(self) -> bool:
        try:
            return self.http.get("/-/health").status_code > 0
        except httpx.TransportError:
            return False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self._stop.set()
        see_ended(self._thread, "the server", error)
        self._listening.close()
