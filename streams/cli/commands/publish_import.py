"""A file of past events brings its own clock, so that timers fire as they would have (rule 23)."""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from streams.app import App
from streams.cli.output.progress import Advance
from streams.cli.output.screen import plural, talk
from streams.cli.process.operator_name import operator_name
from streams.config import Config
from streams.engine.times import to_micros
from streams.errors import InvalidEvent
from streams.kafka.clients import Clients
from streams.kafka.import_clock import ImportClockWriter
from streams.kafka.import_progress import ImportProgress
from streams.localbroker.choose import found
from streams.prepared_event import PreparedEvent
from streams.prepared_publisher import PreparedPublisher

LONG_AGO = timedelta(hours=1)
"""A file whose first event is older brings its clock."""


class FileImport:
    """The clock that a file brings: `begin` with its first event, `end` once the broker has confirmed the last."""

    def __init__(self, writer: Callable[[], ImportClockWriter]) -> None:
        self._writer_of = writer
        self._writer: ImportClockWriter | None = None

    def begin(self, first: datetime | None) -> None:
        """Bring the clock, if the first event is old enough. Only the first call counts."""
        if self._writer is None and first is not None and datetime.now(UTC) - first > LONG_AGO:
            writer = self._writer_of()
            if writer.say(to_micros(first)):
                self._writer = writer

    def say(self, at: int) -> None:
        assert self._writer is not None, "begin comes first"
        self._writer.say(at)

    @property
    def begun(self) -> bool:
        return self._writer is not None

    def end(self) -> None:
        if self._writer is not None:
            self._writer.say(None)

    def advise(self) -> None:
        """If it ends too early: its timers must not fire before the rest of its events is there."""
        if self._writer is not None:
            talk(
                f"The import {self._writer.name} is not over, and its timers wait. Publish the file again, or let them fire: "
                f"retold publish --release {self._writer.name}"
            )


@contextmanager
def importing(config: Config, app: App, file: str) -> Iterator[FileImport]:
    """The import of a file. If the block raises, it is not over."""

    def writer() -> ImportClockWriter:
        clients = Clients.of(config, found(config))
        names = [namespace.name for namespace in app.namespaces]
        return ImportClockWriter(clients, config.prefix, names, import_name(file), operator_name())

    of_file = FileImport(writer)
    try:
        yield of_file
        of_file.end()
    except BaseException:
        of_file.advise()
        raise


def import_name(file: str) -> str:
    """The same each time a file is published, so that a second attempt goes on with the first one's clock, and ends it."""
    if file == "-":
        return f"stdin-{secrets.token_hex(3)}"
    name = re.sub(r"[^A-Za-z0-9._]", "_", Path(file).name)[:60] or "file"
    return f"{name}-{blake2b(bytes(Path(file).resolve()), digest_size=3).hexdigest()}"


def publish_as_it_happened(
    publisher: PreparedPublisher,
    config: Config,
    app: App,
    of_file: FileImport,
    events: Sequence[PreparedEvent],
    step: timedelta | None,
    advance: Advance,
) -> None:
    """Publish events in the order of their times; before each timer that is due between two, wait until all is handled.

    With a `step`, once for each such span of time. `advance` is told how many are published so far, since each wait takes a
    moment. Raises InvalidEvent for an event without a time.
    """
    if not_timed := sum(event.time is None for event in events):
        raise InvalidEvent(
            f"{plural(not_timed, 'event')} of {len(events):,} have no time: name its column with --time-column, or return it from "
            "the function of --with. Nothing was published"
        )
    ordered = deque(sorted(events, key=lambda event: event.time or datetime.now(UTC)))
    if not ordered:
        return
    progress = ImportProgress(Clients.of(config, found(config)), config.prefix, [namespace.name for namespace in app.namespaces])
    try:
        of_file.begin(ordered[0].time)
        file = OrderedFile(publisher, progress, ordered, advance)
        _play(file, of_file, None if step is None else step // timedelta(microseconds=1))
    finally:
        progress.close()


class OrderedFile:
    """What is still to be published of a file, in the order of its times; behind each part, a wait until all is handled."""

    def __init__(
        self, publisher: PreparedPublisher, progress: ImportProgress, events: deque[PreparedEvent], advance: Advance
    ) -> None:
        self._publisher, self._events, self._advance = publisher, events, advance
        self._total = len(events)
        self.progress = progress

    def next_time(self) -> int | None:
        time = self._events[0].time if self._events else None
        return None if time is None else to_micros(time)

    def publish_until(self, last: int) -> None:
        while (at := self.next_time()) is not None and at <= last:
            self._publisher.publish(self._events.popleft())
        self._publisher.flush()
        self.progress.wait()
        self._advance(self._total - len(self._events))


def _play(file: OrderedFile, of_file: FileImport, step: int | None) -> None:
    file.progress.wait()
    while True:
        at, due = file.next_time(), file.progress.next_due() if of_file.begun else None
        if at is None and due is None:
            return
        first = min(it for it in (at, due) if it is not None)
        if step is not None:
            end = (first // step + 1) * step
            file.publish_until(end - 1)
            if of_file.begun and (due := file.progress.next_due()) is not None and due < end:
                _fire_before(file, of_file, end)
        elif due == first and due != at:
            _fire_before(file, of_file, due + 1)
        else:  # an event comes before timers of its very time
            file.publish_until(first)


def _fire_before(file: OrderedFile, of_file: FileImport, at: int) -> None:
    of_file.say(at)
    file.progress.wait(at)
