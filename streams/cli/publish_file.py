"""`retold publish --from FILE`: all rows are checked before the first is published, or broken ones are skipped."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import typer

from streams.app import App
from streams.cli import exits
from streams.cli.progress import bar
from streams.cli.screen import json_line, plural, say, talk
from streams.client import Client
from streams.codec import AvroCodec
from streams.config import Config
from streams.data import EventData
from streams.errors import ConfigError, InvalidEvent
from streams.load import function
from streams.sources.convert import Converter
from streams.sources.events import BadRow, FileEvent, FromRow, Maker
from streams.sources.rows import FORMATS, TEXT_FORMATS, format_of

SOURCE = "retold/publish"
"""With its id this makes an event unique, so it is the same for every file and every day."""
SHOWN = 10
"""Broken lines that are told one by one."""
EVERY = 200
"""Events between two looks of the bar."""


@dataclass(frozen=True)
class Rows:
    """Options for a file. `on_error` is "stop" or "skip"."""

    format: str | None = None
    with_function: str | None = None
    on_error: str = "stop"
    limit: int | None = None

    @property
    def given(self) -> str | None:
        """The name of an option that has no meaning for a single event."""
        named = {"--format": self.format, "--with": self.with_function, "--limit": self.limit}
        return next((name for name, value in named.items() if value is not None), None)


@dataclass(frozen=True)
class EventFile:
    """A file that can be read from its start again, and what makes events of its rows. `name` is for messages."""

    name: str
    file: IO[bytes]
    format: str
    maker: Maker
    limit: int | None

    def events(self) -> Iterator[FileEvent | BadRow]:
        """From the start of the file. Raises InvalidEvent if the file as a whole does not read."""
        if self.file.seekable():
            self.file.seek(0)
        try:
            yield from self.maker.events(islice(FORMATS[self.format](self.file), self.limit))
        except InvalidEvent as error:
            raise InvalidEvent(f"{self.name}: {error}") from error

    def place(self, row: BadRow) -> str:
        return f"{self.name}:{row.line}: {row.problem}"


def publish_file(config: Config, app: App, data: type[EventData] | None, file: str, rows: Rows, as_json: bool) -> int:
    """Gives the exit code: 1 if a line was broken."""
    if rows.on_error not in ("stop", "skip"):
        raise typer.BadParameter(f"--on-error is {rows.on_error!r}; stop or skip was expected.")
    stop = rows.on_error == "stop"
    with _opened(file, again=stop) as opened:
        source = event_file(config, app, data, file, opened, rows)
        total = None
        if stop:
            total, broken = check(source)
            if broken:
                talk(f"Nothing was published: {plural(broken, 'line')} of {total + broken:,} broken.")
                return exits.NO
        with Client(app, config=config, source=SOURCE) as client:
            started = time.monotonic()
            published, skipped = publish_events(client, source, total)
            client.flush()
        _tell(published, skipped, time.monotonic() - started, as_json)
    return exits.NO if skipped else exits.OK


def event_file(
    config: Config, app: App, data: type[EventData] | None, file: str, opened: IO[bytes], rows: Rows
) -> EventFile:
    """Raises ConfigError for a format or function that is not known."""
    named = rows.format or ("jsonl" if file == "-" else None)
    form = format_of(Path(file), named)
    make: FromRow
    if rows.with_function is not None:
        make = function(config, rows.with_function, "--with")
    elif data is not None:
        make = Converter(data, texts=form in TEXT_FORMATS)
    else:
        raise typer.BadParameter(
            "which events are in the file? Name their type, or a function that knows, with --with."
        )
    codec = AvroCodec(app.event_types().values(), [])
    maker = Maker(make, codec, data.event_type if data is not None else None, config.max_event_bytes)
    return EventFile("stdin" if file == "-" else file, opened, form, maker, rows.limit)


def check(source: EventFile) -> tuple[int, int]:
    """How many rows are events and how many are broken; the first broken ones are told."""
    good, tell = 0, _Teller(source)
    with bar("checking", None, "lines") as advance:
        for event in source.events():
            if isinstance(event, BadRow):
                tell(event)
            else:
                good += 1
            if good % EVERY == 0:
                advance(good)
    return good, tell.end()


def publish_events(client: Client, source: EventFile, total: int | None) -> tuple[int, int]:
    """Publishes what can be; gives how many and how many were skipped."""
    done, tell = 0, _Teller(source)
    with bar("publishing", total) as advance:
        for event in source.events():
            if isinstance(event, BadRow):
                tell(event)
                continue
            client.publish(event.data, id=event.id, time=event.time)
            done += 1
            if done % EVERY == 0:
                advance(done)
        client.flush()
        advance(done)
    return done, tell.end()


class _Teller:
    """Tells the first broken lines and counts the others."""

    def __init__(self, source: EventFile) -> None:
        self._source, self._count = source, 0

    def __call__(self, row: BadRow) -> None:
        self._count += 1
        if self._count <= SHOWN:
            talk(self._source.place(row))

    def end(self) -> int:
        if self._count > SHOWN:
            talk(f"… and {plural(self._count - SHOWN, 'more line')} like these.")
        return self._count


def _opened(file: str, *, again: bool) -> AbstractContextManager[IO[bytes]]:
    """`again`: it will be read twice, so what comes through a pipe is kept in a temporary file."""
    if file != "-":
        try:
            return Path(file).open("rb")
        except OSError as error:
            raise ConfigError(f"the file {file} cannot be read: {error.strerror}.") from error
    if not again:
        return nullcontext(sys.stdin.buffer)
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, kept)
    return kept


def _tell(published: int, skipped: int, seconds: float, as_json: bool) -> None:
    if as_json:
        json_line({"published": published, "skipped": skipped, "seconds": round(seconds, 3)})
        return
    rate = f", {published / seconds:,.0f}/s" if seconds > 0 and published else ""
    say(f"{plural(published, 'event')} published in {seconds:.1f} s{rate}")
    if skipped:
        say(f"{plural(skipped, 'line')} skipped")
