"""The recorded past, for a program: what the commands about the past ask, in Python."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from streams.app import App
from streams.codec import codec_of
from streams.data import EventData, Record
from streams.engine.readable import named
from streams.engine.records import Codec
from streams.engine.times import checked_time, to_micros
from streams.errors import HistoryError, InvalidChange
from streams.history.branch.branch import Branch, replay, what_if
from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_times import cut_branch
from streams.history.branch.change import Change, InsertedEvent
from streams.history.branch.shrinking import SearchLimits, Shrunk, shrink
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.correction.decided_corrections import DecidedCorrections
from streams.history.correction.planning import plan_correction
from streams.history.cut_past import Cut
from streams.history.difference.comparison import compare
from streams.history.difference.difference import Difference
from streams.history.difference.unhandled_types import UnhandledTypes
from streams.history.event_lookup import in_file
from streams.history.history_contents import HistoryContents, HistorySource
from streams.history.past import Past
from streams.history.past_times import cut_until
from streams.history.stored.past_file import open_export
from streams.history.stored.stored_corrections import counted, kept_corrections
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.stored.told_connection import ToldConnection
from streams.namespace import Namespace

R = TypeVar("R", bound=Record)
Insertion = InsertedEvent | tuple[EventData, datetime]


class History(HistoryContents):
    """The recorded past of an application: what was handled, and what its code makes of that. Nothing that is asked changes it.

    `History.open` reads a file that `retold history --export` wrote, and needs no broker; `World.history` gives the past of a
    test. The past as of a time, and a branch, are Histories too. Events are named as on the command line: by id, or by position
    (`user-3:7`). Rows are folded by the handlers of `app`, as they are asked for. One thread uses it: the one that opened it.

    Whatever is asked of a file raises HistoryError if it cannot be read, or if the code cannot tell its past.

    Attributes:
        app (App): The application.

    """

    _origin: tuple[History, Difference] | None = None
    """Of a branch: the past that it is one of, and how it differs from that one."""

    @classmethod
    def open(cls, app: App, file: str | Path) -> Self:
        """The past in a file, as its corrections make it, to be used in a `with` block, which closes it.

        Args:
            app: The application that the past is of.
            file: A file that `retold history --export FILE` wrote.

        Raises:
            HistoryError: There is no such file, it is of another application, or another version of retold wrote it.

        """
        db = (opened := open_export(Path(file), app)).connect(ToldConnection)
        codec = _codec(app, db)
        log, waiting, handlers = StoredPast(db, codec), StoredWaiting(db, codec), ApplicationHandlers(app, codec)
        source = HistorySource(in_file(log, waiting, app), opened.frontier, db.close, _corrected(db, log, codec))
        return cls(counted(log, handlers, kept_corrections(db), codec), handlers, source, waiting)

    def close(self) -> None:
        """Let the file go; of all histories that were made of this one, too."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def as_of(self, at: datetime | None = None, *, known: datetime | None = None) -> History:
        """The past up to a time.

        Args:
            at: What had happened by then, with a zone; None: no limit.
            known: What had been recorded, and which corrections begun, by then, with a zone; None: all that can change no more.

        Raises:
            InvalidEvent: A time has no zone.
            HistoryError: `known` is later than what this past knows for certain.

        """
        asked, frontier = Cut(_micros("at", at), _micros("known", known)), self._source.frontier
        cut = asked if frontier is None else cut_until(frontier, asked)
        so_far = None if self._is_imagined else self._source.corrected
        return self._made(cut_branch(self._past, cut) if so_far is None else so_far.cut(cut, self._handlers), self._handlers)

    def what_if(
        self,
        *,
        insert: Iterable[Insertion] = (),
        remove: Iterable[str] = (),
        replace: Mapping[str, EventData] | None = None,
        code: App | None = None,
        answers: Answers | None = None,
    ) -> History:
        """A branch: the past with a change, or with other code. What the change reaches is decided again, in memory.

        Nothing real is touched and nobody is called. A request that was answered has its answer; another one has what `answers`
        gives, or waits. A branch can be asked as any history, also what if.

        Args:
            insert: Events to put in: pairs of data and time, or InsertedEvents, which have an id or stand behind another event.
            remove: Published events to take out, with all that they led to.
            replace: Other data by the published event that has it instead.
            code: The same application with other handlers: all is decided again by these. Not together with the others: make
                one branch of the other.
            answers: What a gateway would answer to a request, as a function of its Event; None from it: that is not known.

        Raises:
            NoSuchEvent: A named event is not there.
            InvalidChange: A named event was not published, or was to be replaced by one of another key.
            HistoryError: The branch does not end.
            InvalidEvent: An event may not be published as it is.
            DefinitionError: It belongs to no namespace of the application.

        """
        change = self._change(insert, remove, replace or {})
        if code is None:
            return self._branch(what_if(self._past, self._handlers, change, answers=answers), self._handlers)
        if change != Change([]):
            raise HistoryError(
                "a branch has other events or other code, and not both: make the first one, and of it the other, as in "
                "history.what_if(remove=[…]).what_if(code=app)"
            )
        handlers = ApplicationHandlers(code, codec_of(code))
        return self._branch(replay(self._past, LocalCode(self._handlers), handlers, answers=answers), handlers)

    def _change(self, insert: Iterable[Insertion], remove: Iterable[str], replace: Mapping[str, EventData]) -> Change:
        return Change(
            [self._inserted(it) for it in insert],
            frozenset(self.event(name).exact_name for name in _names(remove)),
            {self.event(name).exact_name: data for name, data in replace.items()},
        )

    def _inserted(self, it: Insertion) -> InsertedEvent:
        if not isinstance(it, InsertedEvent):
            return InsertedEvent(*_with_time(it))
        after = None if it.after is None else self.event(it.after).exact_name
        return InsertedEvent(it.data, it.time, it.id, after, it.source)

    def _branch(self, branch: Branch, handlers: ApplicationHandlers) -> History:
        made = self._made(branch.past, handlers)
        made._origin = self, branch.difference
        return made

    def _made(self, past: Past, handlers: ApplicationHandlers) -> History:
        made = History(past, handlers, self._source)
        made._is_imagined = True
        return made

    def correct(
        self,
        *,
        insert: Iterable[Insertion] = (),
        remove: Iterable[str] = (),
        replace: Mapping[str, EventData] | None = None,
        by: str,
        why: str,
        assume_answers: bool = False,
    ) -> CorrectionPlan:
        """The plan of a correction: what would become of the present if the past were changed. In a test, `world.apply` applies it.

        Args:
            insert: Events that are missing, as for `what_if`.
            remove: Published events that should not have been, with all that they led to.
            replace: The right data by the published event that had other data.
            by: Who corrects.
            why: Why, in a sentence.
            assume_answers: A request to a gateway keeps the answer that it had, also with other data.

        Raises:
            NoSuchEvent: A named event is not there.
            InvalidChange: A named event was not published, a handler would raise, or nobody or no reason is given.
            HistoryError: This is a branch, or the past as of a time; or what follows cannot be told.
            InvalidEvent: An event may not be published as it is.

        """
        if self._is_imagined:
            raise HistoryError("a branch, or the past as of a time, is corrected nowhere: correct the past itself")
        change = self._change(insert, remove, replace or {})
        so_far = self._source.corrected or CorrectedLog(self._past)
        return plan_correction(so_far, self._handlers, change, by, why, assume_answers=assume_answers)

    def shrink(
        self, namespace: Namespace[R] | str, key: str, condition: str | Callable[[R], bool], *, seconds: float = 60.0
    ) -> Shrunk:
        """The fewest published events that still bring a row to where a condition holds, as `retold shrink` finds them.

        Ctrl-C ends the search, and leaves the fewest so far.

        Args:
            namespace: The row's namespace, or its name.
            key: The row's key.
            condition: As for `when`. It is enough that it holds at some time.
            seconds: Search for so long.

        Raises:
            HistoryError: The condition never held (NoSuchEvent), or holds where there is no row.
            InvalidEvent: The text is no condition.
            DefinitionError: The application does not have this namespace.

        """
        space, deadline = self._space(namespace), time.monotonic() + seconds
        limits = SearchLimits(lambda: time.monotonic() < deadline)
        return shrink(self._past, self._handlers, (space.name, key), self._asked(space, condition), limits)

    def difference(self, other: History | None = None) -> Difference:
        """How this past differs from another one; a row that one of both cannot tell is in `untold`.

        Args:
            other: The other one; None: the past that this is a branch of. Of that one the branch itself knows the difference:
                also what gateways would be asked, what is open, and where other code decides otherwise.

        Raises:
            HistoryError: This is no branch, so `other` is missing.

        """
        if self._origin is not None and other in (None, self._origin[0]):
            return self._origin[1]
        if other is None:
            raise HistoryError("this past is no branch: name the one that it is to be compared with")
        return compare(other._past, other._handlers, self._past, self._handlers)


def _codec(app: App, db: sqlite3.Connection) -> UnhandledTypes:
    """What nothing handles any more reads, too: it leaves its own rows untold, and no others."""
    codec = codec_of(app)
    learn_schemas(db, codec)
    return UnhandledTypes(app, codec)


def _corrected(db: sqlite3.Connection, log: Past, codec: Codec) -> CorrectedLog | None:
    """None: nothing was corrected."""
    corrections = kept_corrections(db)
    return CorrectedLog.of(log, corrections, codec, DecidedCorrections()) if corrections else None


def _micros(name: str, time: datetime | None) -> int | None:
    return None if time is None else to_micros(checked_time(f"{name} is", time))


def _names(remove: Iterable[str]) -> Iterable[str]:
    """Raises InvalidChange for a single one: each of its letters would be looked for."""
    if isinstance(remove, str):
        it = repr(named(remove))
        raise InvalidChange(f"what is to be taken out is {it}; a list of names was expected, such as [{it}]")
    return remove


def _with_time(it: tuple[EventData, datetime] | EventData) -> tuple[EventData, datetime]:
    """Raises InvalidChange for data alone."""
    if isinstance(it, EventData):
        raise InvalidChange(
            f"{it.event_type} {named(it.key)!r} is to be put in at no time; with its data a time was expected, such as (data, "
            "datetime(2026, 1, 31, tzinfo=UTC)), or an InsertedEvent"
        )
    return it
