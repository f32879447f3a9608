"""The recorded past, opened for a command: read up to what is committed now, with progress on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from streams.app import App
from streams.cli.output.progress import Advance, bar
from streams.cli.output.screen import talk
from streams.cli.process.collector import spare_the_collector
from streams.cli.process.session import connect
from streams.codec import AvroCodec
from streams.history.application_handlers import ApplicationHandlers
from streams.history.stored_past import StoredPast, learn_schemas
from streams.history.stored_waiting import StoredWaiting
from streams.server.readmodel.history_file import HistoryFile, HistoryReader, Progress

WORTH_A_BAR = 2_000
"""Records: fewer are read before anybody looks."""


@dataclass(frozen=True)
class OpenedPast:
    """To be used within its block."""

    app: App
    past: StoredPast
    waiting: StoredWaiting
    handlers: ApplicationHandlers
    codec: AvroCodec
    source: HistoryFile


@contextmanager
def open_past() -> Iterator[OpenedPast]:
    """Raises StreamsError."""
    session = connect()
    spare_the_collector()
    reader = HistoryReader(session.clients, session.config, session.app, session.codec)
    with _progress() as progress:
        source = reader.read(progress)
    for why in source.stuck:
        talk(f"Not all of the past is here: {why}")
    with closing(source.connect()) as db:
        learn_schemas(db, session.codec)
        handlers = ApplicationHandlers(session.app, session.codec)
        yield OpenedPast(
            session.app, StoredPast(db, session.codec), StoredWaiting(db, session.codec), handlers, session.codec, source
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    with ExitStack() as stack:
        advances: list[Advance] = []

        def progress(done: int, total: int) -> None:
            if not advances and total - done >= WORTH_A_BAR:
                advances.append(stack.enter_context(bar("reading the past", total, "records")))
            for advance in advances:
                advance(done)

        yield progress
