"""`retold publish --from FILE`: all rows are checked before the first is published, or broken ones are skipped."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO

import typer

from streams.app import App
from streams.cli.commands.publish_import import FileImport, importing, publish_as_it_happened
from streams.cli.commands.publish_input import name_of, opened
from streams.cli.output.progress import bar
from streams.cli.output.screen import json_line, plural, say, talk
from streams.cli.process import exit_codes
from streams.cli.process.collector import collect_seldom
from streams.codec import codec_of
from streams.config import Config
from streams.data import EventData
from streams.errors import ConfigError, InvalidEvent
from streams.eventfiles.convert import Converter
from streams.eventfiles.file_events import BadRow, EventMaker, FileEvent, FromRow
from streams.eventfiles.raw_lines import LINE_LIMIT
from streams.eventfiles.rows import FORMATS, TEXT_FORMATS, format_of
from streams.load import function
from streams.prepared_event import PreparedEvent
from streams.prepared_publisher import PreparedPublisher

SOURCE = "retold/publish"
"""With its id this makes an event unique, so it is the same for every file and every day."""
SHOWN = 10
"""Broken lines that are reported one by one."""
EVERY = 200
"""Events between two looks of the bar."""
KEPT_BYTES = 64 * 1024 * 1024
"""Of events that were checked, in bytes: they are kept, so that a file up to this size is read and encoded once."""
LINE_FACTOR = 16
"""A line may be so many times longer than the largest event: a function may leave columns out."""
COLLECT_AFTER = 50_000
"""New containers between two collections of garbage."""
OBJECT_BYTES = 1_000
"""What an event takes besides its data, about."""


@dataclass(frozen=True)
class FileOptions:
    """Options for a file. `on_error` is "stop" or "skip"."""

    format: str | None = None
    with_function: str | None = None
    on_error: str = "stop"
    limit: int | None = None
    id_column: str | None = None
    time_column: str | None = None
    as_it_happened: bool = False
    step: timedelta | None = None

    @property
    def given(self) -> str | None:
        """The name of an option that has no meaning for a single event."""
        named = {
            "--format": self.format, "--with": self.with_function, "--limit": self.limit,
            "--id-column": self.id_column, "--time-column": self.time_column,
            "--as-it-happened": self.as_it_happened or None, "--step": self.step,
        }  # fmt: skip
        return next((name for name, value in named.items() if value is not None), None)

    @property
    def columns(self) -> list[str]:
        """Those that need not be fields of the event."""
        return [name for name in (self.id_column, self.time_column) if name is not None]


@dataclass
class RowCounts:
    """Rows of a file, so far. `equal` are those of the events that say what an earlier row said; repeats do not leave.

    `digest` is of what the events say, in their order: two readings of one process with the same events have the same.
    """

    events: int = 0
    equal: int = 0
    repeats: int = 0
    broken: int = 0
    digest: int = 0

    @property
    def rows(self) -> int:
        return self.events + self.repeats + self.broken

    def is_new(self, event: FileEvent) -> bool:
        """Whether it is one to publish; it is counted."""
        if event.is_repeat:
            self.repeats += 1
            return False
        self.events += 1
        self.equal += event.occurrence > 1
        told = event.prepared
        self.digest = hash((self.digest, told.id, told.value, told.time))
        return True


@dataclass(frozen=True)
class EventFile:
    """A file, and what makes events of its rows. `name` is for messages; `start` is where its rows begin."""

    name: str
    file: IO[bytes]
    format: str
    maker: EventMaker
    limit: int | None
    start: int = 0

    def events(self) -> Iterator[FileEvent | BadRow]:
        """From its start again, if it can be read twice. Raises InvalidEvent if the file as a whole does not read."""
        if self.file.seekable():
            self.file.seek(self.start)
        try:
            rows = FORMATS[self.format](self.file, max(LINE_LIMIT, LINE_FACTOR * self.maker.max_bytes))
            yield from self.maker.events(islice(rows, self.limit))
        except InvalidEvent as error:
            raise InvalidEvent(f"{self.name}: {error}") from error

    def location(self, row: BadRow) -> str:
        return f"{self.name}:{row.line}: {row.problem}"


def publish_file(
    config: Config, app: App, data: type[EventData] | None, file: str, options: FileOptions, as_json: bool
) -> int:
    """Gives the exit code: 1 if a line is broken."""
    if options.on_error not in ("stop", "skip"):
        raise typer.BadParameter(f"--on-error is {options.on_error!r}; stop or skip was expected.")
    stop = options.on_error == "stop"
    if options.as_it_happened and not stop:
        raise typer.BadParameter("--as-it-happened sorts the whole file, so no line may be skipped: leave --on-error out.")
    if options.step is not None and not options.as_it_happened:
        raise typer.BadParameter("--step is for --as-it-happened.")
    _spare_the_collector()
    with opened(file, again=stop) as content:
        source = event_file(config, app, data, file, content, options)
        checked = None
        if stop:
            checked = check(source)
            if checked is None:
                return exit_codes.NO
        with importing(config, app, file) as its_clock, PreparedPublisher(app, source.maker.codec, config, SOURCE) as publisher:
            started = time.monotonic()
            if options.as_it_happened and checked is not None:
                count = _publish_in_order(publisher, config, app, checked, its_clock, options)
            else:
                count = publish_events(publisher, source, checked, its_clock)
        _report(count, time.monotonic() - started, as_json)
    if checked is not None and count != checked.count:
        raise ConfigError(_changed(source.name, checked.count, count))
    return exit_codes.NO if count.broken else exit_codes.OK


def _spare_the_collector() -> None:
    """Collect garbage less often, and never what exists from the start: this process ends with the file.

    Rows and events make many containers and no cycles; with the defaults a fifth of the time of checking was collecting.
    """
    gc.freeze()
    collect_seldom(COLLECT_AFTER)


@dataclass(frozen=True)
class CheckedFile:
    """A file without a broken line. `events` are those to publish; None if they were too many to keep.

    `earliest` is the earliest time of an event; None if none has a time.
    """

    count: RowCounts
    events: list[PreparedEvent] | None
    earliest: datetime | None = None


def _publish_in_order(
    publisher: PreparedPublisher, config: Config, app: App, checked: CheckedFile, its_clock: FileImport, options: FileOptions
) -> RowCounts:
    if checked.events is None:
        raise ConfigError(
            f"--as-it-happened sorts the events in memory, and these are more than {KEPT_BYTES // 1024 // 1024} MiB. Sort the file "
            "by time, and publish it in parts, one after the other"
        )
    with bar("publishing", checked.count.events) as advance:
        publish_as_it_happened(publisher, config, app, its_clock, checked.events, options.step, advance)
        advance(checked.count.events)
    return checked.count


def _changed(name: str, checked: RowCounts, count: RowCounts) -> str:
    found = f"then {plural(count.rows, 'row')} with {plural(count.events, 'event')} were read"
    if (count.rows, count.events) == (checked.rows, checked.events):
        found = "then as many with other data were read"
    return (
        f"{name} changed while it was published: {plural(checked.rows, 'row')} with {plural(checked.events, 'event')} were "
        f"checked, {found}. Publish it again once nobody writes to it; a function of --with must give the same at each reading."
    )


def event_file(
    config: Config, app: App, data: type[EventData] | None, file: str, content: IO[bytes], options: FileOptions
) -> EventFile:
    """Raises ConfigError for a format or function that is not known."""
    named = options.format or ("jsonl" if file == "-" else None)
    form = format_of(Path(file), named)
    make: FromRow
    if options.with_function is not None:
        make = function(config, options.with_function, "--with")
    elif data is not None:
        make = Converter(data, texts=form in TEXT_FORMATS, besides=options.columns)
    else:
        raise typer.BadParameter(
            "the type of the file's events is missing. Name it, or name a function that makes events with --with."
        )
    expected = None if data is None else data.event_type
    maker = EventMaker(make, codec_of(app), expected, config.max_event_bytes, SOURCE, options.id_column, options.time_column)
    return EventFile(name_of(file), content, form, maker, options.limit, content.tell() if content.seekable() else 0)


def check(source: EventFile) -> CheckedFile | None:
    """What is to be published; None if a line is broken: the first broken ones are reported, and the consequence."""
    count, report, kept = RowCounts(), _BrokenLineReporter(source), _KeptEvents()
    with bar("checking", None, "lines") as advance:
        for event in source.events():
            if isinstance(event, BadRow):
                report(event)
            elif count.is_new(event):
                kept.add(event.prepared)
            if count.events % EVERY == 0:
                advance(count.events)
    count.broken = report.end()
    if count.broken:
        verb = "is" if count.broken == 1 else "are"
        talk(f"Nothing was published: {count.broken:,} of {plural(count.rows, 'line')} {verb} broken.")
        return None
    return CheckedFile(count, kept.events, kept.earliest)


class _KeptEvents:
    """Events of a file, unless they would take too much memory."""

    def __init__(self) -> None:
        self.events: list[PreparedEvent] | None = []
        self.earliest: datetime | None = None
        self._bytes = 0

    def add(self, event: PreparedEvent) -> None:
        if event.time is not None and (self.earliest is None or event.time < self.earliest):
            self.earliest = event.time
        self._bytes += len(event.value) + OBJECT_BYTES
        if self._bytes > KEPT_BYTES:
            self.events = None
        if self.events is not None:
            self.events.append(event)


def publish_events(
    publisher: PreparedPublisher, source: EventFile, checked: CheckedFile | None = None, its_clock: FileImport | None = None
) -> RowCounts:
    """Publishes what was checked, or reads the file and publishes what can be read; then the first broken lines are reported.

    `its_clock` begins with the earliest event, or with the first one where the file is read only once.
    """
    with bar("publishing", None if checked is None else checked.count.events) as advance:
        if its_clock is not None and checked is not None:
            its_clock.begin(checked.earliest)
        if checked is not None and checked.events is not None:
            for number, event in enumerate(checked.events, 1):
                publisher.publish(event)
                if number % EVERY == 0:
                    advance(number)
            publisher.flush()
            advance(len(checked.events))
            return checked.count
        return _publish_read(publisher, source, advance, its_clock)


def _publish_read(
    publisher: PreparedPublisher, source: EventFile, advance: Callable[[int], None], its_clock: FileImport | None
) -> RowCounts:
    count, report = RowCounts(), _BrokenLineReporter(source)
    for event in source.events():
        if isinstance(event, BadRow):
            report(event)
            if event.ends:
                publisher.flush()
                raise InvalidEvent(_rest_unread(source, event, count))
        elif count.is_new(event):
            if its_clock is not None and count.events == 1:
                its_clock.begin(event.time)
            publisher.publish(event.prepared)
            if count.events % EVERY == 0:
                advance(count.events)
    publisher.flush()
    advance(count.events)
    count.broken = report.end()
    return count


def _rest_unread(source: EventFile, row: BadRow, count: RowCounts) -> str:
    return (
        f"{source.name}: nothing from line {row.line} on could be read, so it was not skipped but left out: "
        f"{plural(count.events, 'event')} before it were published. Mend the line and publish the whole file again: what was "
        "published already counts as a duplicate."
    )


class _BrokenLineReporter:
    """Reports the first broken lines and counts the others."""

    def __init__(self, source: EventFile) -> None:
        self._source, self._count = source, 0

    def __call__(self, row: BadRow) -> None:
        self._count += 1
        if self._count <= SHOWN:
            talk(self._source.location(row))

    def end(self) -> int:
        if self._count > SHOWN:
            talk(f"… and {plural(self._count - SHOWN, 'more line')} like these.")
        return self._count


def _report(count: RowCounts, seconds: float, as_json: bool) -> None:
    if as_json:
        numbers = {
            "published": count.events, "equal": count.equal, "repeated": count.repeats, "skipped": count.broken,
        }  # fmt: skip
        json_line({**numbers, "seconds": round(seconds, 3)})
        return
    rate = f", {count.events / seconds:,.0f}/s" if seconds > 0 and count.events else ""
    equal = ""
    if count.equal:
        equal = f"; {_rows(count.equal, 'equals', 'equal')} an earlier row of the file (same data and time)"
    say(f"{plural(count.events, 'event')} published in {seconds:.1f} s{rate}{equal}")
    if count.repeats:
        say(f"{plural(count.repeats, 'row')} skipped: an equal earlier row has the same id")
    if count.broken:
        say(f"{plural(count.broken, 'broken line')} skipped")


def _rows(count: int, one: str, many: str) -> str:
    return f"{plural(count, 'row')} {one if count == 1 else many}"
