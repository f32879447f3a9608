"""What a process has to answer questions with: the application, and the file that it is told to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from streams.app import App
from streams.code_digest import code_of
from streams.codec import AvroCodec
from streams.engine.records import Codec
from streams.errors import BeforeHistory, HistoryError, NoSuchEvent, TooMuch, UnsupportedSchema
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.decided_corrections import DecidedCorrections
from streams.history.correction.steps_of_others import telling_all
from streams.history.difference.unhandled_types import UnhandledTypes
from streams.history.stored.stored_corrections import kept_corrections
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_waiting import StoredWaiting
from streams.server.http.problems import Problem
from streams.server.readmodel.model import ReadModel

T = TypeVar("T")
Ask = Callable[[StoredPast, StoredWaiting], T]


class AnsweringParts:
    """Of one process, which has one thread. To be made when the application is loaded: `code` is of what is loaded by then."""

    def __init__(self, app: App, codec: AvroCodec) -> None:
        self.app, self.codec, self.model = app, codec, ReadModel(app, codec)
        self.handlers = ApplicationHandlers(app, codec)
        """What decides the past again."""
        self.past_codec = UnhandledTypes(app, codec)
        """Reads events without a handler, too: such a one leaves its own row of the past untold, and no others."""
        self.decided = DecidedCorrections()
        self.code = code_of(app, codec)
        """What folds rows here: checkpoints of other code are not used."""

    def telling(self, past: StoredPast) -> ApplicationHandlers:
        """Those that tell each row of a log, whichever code has set it."""
        return telling_all(lambda: CorrectedLog.of(past, kept_corrections(past.db), self.past_codec, self.decided), self.handlers)

    def ask_past(self, ask: Ask[T], untold: int | None = None, codec: Codec | None = None) -> T:
        """What `ask` returns of the recorded past, which `codec` reads; None: the one that reads all.

        `ask` lets HistoryError pass: it may be asked again, once more schemas are known. `untold` is the status of the problem that
        one becomes then; None: the error's own.
        """
        try:
            return self._told(ask, codec or self.past_codec)
        except (NoSuchEvent, BeforeHistory, TooMuch):
            raise
        except HistoryError as error:
            if untold is None:
                raise
            raise Problem(untold, str(error)) from error

    def _told(self, ask: Ask[T], codec: Codec) -> T:
        with self.model.reading() as db:
            try:
                return ask(StoredPast(db, codec), StoredWaiting(db, self.codec))
            except HistoryError as error:
                if not isinstance(error.__cause__, UnsupportedSchema):
                    raise
                learn_schemas(db, self.codec)
                return ask(StoredPast(db, codec), StoredWaiting(db, self.codec))
