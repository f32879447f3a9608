"""The recorded past, opened for a command: read up to what is committed now, with progress on stderr."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from streams.app import App
from streams.cli.output.progress import Advance, bar
from streams.cli.output.screen import application_beside, talk, time_text
from streams.cli.process import logging_setup
from streams.cli.process.collector import spare_the_collector
from streams.cli.process.handler_watch import handlers_return
from streams.cli.process.readable_corrections import readable_corrections
from streams.cli.process.session import Session, connect
from streams.codec import AvroCodec, codec_of
from streams.config import load
from streams.engine.times import from_micros
from streams.errors import HistoryError
from streams.history.branch.branch_times import TimedBranch
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.steps_of_others import telling_all
from streams.history.cut_past import Cut
from streams.history.difference.unhandled_types import UnhandledTypes
from streams.history.past import Past
from streams.history.stored.past_file import HistoryFile, open_export
from streams.history.stored.stored_corrections import counted, counted_at, kept_corrections
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_waiting import StoredWaiting
from streams.load import application
from streams.server.readmodel.history_reader import HistoryReader, Progress

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
    _read_corrections: Callable[[], Sequence[KnownCorrection]]

    @cached_property
    def corrections(self) -> Sequence[KnownCorrection]:
        """Those of this past so far, in their order. Raises BrokerError."""
        return self._read_corrections()

    @property
    def corrected(self) -> CorrectedLog:
        """The past with its corrections."""
        return CorrectedLog.of(self.past, self.corrections, self.codec)

    @cached_property
    def telling(self) -> ApplicationHandlers:
        """Those that tell each row of the log, whichever code has set it."""
        return telling_all(lambda: self.corrected, self.handlers)

    @cached_property
    def counted(self) -> Past:
        """As `streams.history.stored.stored_corrections.counted`."""
        return counted(self.past, self.handlers, self.corrections, self.handlers.codec)

    def counted_at(self, cut: Cut) -> TimedBranch | None:
        """As `streams.history.stored.stored_corrections.counted_at`."""
        return counted_at(self.past, cut, self.handlers, self.corrections, self.handlers.codec)


@contextmanager
def open_past(
    file: Path | None = None, *, with_times: bool = False, with_unhandled: bool = True, session: Session | None = None
) -> Iterator[OpenedPast]:
    """The past that a broker has; or that of a `file` that was exported, which needs none. Raises StreamsError.

    A handler that does not return ends the block with a HistoryError.

    `with_times`: it is asked as of a time. `with_unhandled`: events without a handler are read too; else they are an error. A
    `session` is used if there is one already.
    """
    spare_the_collector()
    with application_beside():
        if file is None:
            session = session or connect()
            app, codec, source = _read(session, with_times=with_times)
        else:
            config = load()
            logging_setup.set_up(config)
            app = application(config)
            codec, source = codec_of(app), open_export(file, app)
        with _damage_is_said(source.file, exported=file is not None), closing(source.connect()) as db:
            learn_schemas(db, codec)
            reading = UnhandledTypes(app, codec) if with_unhandled else codec
            past, handlers = StoredPast(db, reading), ApplicationHandlers(app, reading)
            if (until := past.left_out_until()) is not None:
                talk(
                    f"Events recorded up to {time_text(from_micros(until))} are not all in this file, by the setting history. "
                    "Rows that need them are not told."
                )
            corrections = partial(kept_corrections, db) if session is None else partial(_corrections_of, session)
            with handlers_return(handlers):
                yield OpenedPast(app, past, StoredWaiting(db, codec), handlers, codec, source, corrections)


@contextmanager
def _damage_is_said(file: Path, *, exported: bool) -> Iterator[None]:
    """Of a file that was cut off or overwritten, which opens as long as its beginning is whole."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        again = "delete it while no server runs, and it is read again from Kafka"
        what = "export it again" if exported else again
        raise HistoryError(f"the file {file} is damaged ({error}): {what}") from error


def _corrections_of(session: Session) -> Sequence[KnownCorrection]:
    return [it.known for it in readable_corrections(session)]


def _read(session: Session, *, with_times: bool) -> tuple[App, AvroCodec, HistoryFile]:
    reader = HistoryReader(session.clients, session.config, session.app, session.codec)
    with _progress() as progress:
        source = reader.read(progress, with_times=with_times)
    for why in source.stuck:
        talk(f"Not all of the past is here: {why}")
    return session.app, session.codec, source


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
