"""Asks the processes that answer with the application's own code: one may never return, so each question has a limit.

Of each kind of question a few go on at a time. A process that has not answered in time is ended, and its place is free.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from anyio import CapacityLimiter, to_thread

from streams.config import Config
from streams.errors import HistoryError
from streams.server.asking.answering_processes import AnsweringProcesses, AnswerLost, AnswerTooSlow
from streams.server.asking.process_forker import ForkerEnded
from streams.server.http.problems import RETRY_AFTER, STOPS, Problem
from streams.server.http.question_forms import Asked, F, FileAway, Question, Refused, Untold, decode_found, encode
from streams.server.readmodel.store_readers import OpenedFile, StoreAway

log = logging.getLogger("retold.server")
T = TypeVar("T")
AT_ONCE: Final = 8
"""For computing: more processes would not be faster."""
LONGER: Final = 1.0
"""s beyond the limit that a question waits for a place: those that went on when it came have been ended by then."""
LOST: Final = "answer-lost"


@dataclass(frozen=True)
class QuestionKind:
    """`why` is counted, `many` are its questions in words, `setting` their limit, `problem` the type of what was too slow.

    `at_once` go on at a time.
    """

    why: str
    many: str
    setting: str
    problem: str
    help: str
    at_once: int = AT_ONCE


VIEW: Final = QuestionKind(
    "view", "calls of views", "view_seconds", "view-too-slow",
    "what it does is the application's own: compute less, or in a projection",
)  # fmt: skip
IN_TERMINAL: Final = "ask for less, or in a terminal, where nothing ends it"
PAST: Final = QuestionKind("past", "questions about the past", "past_seconds", "past-too-slow", IN_TERMINAL)
STORY: Final = QuestionKind("story", "questions for stories", "past_seconds", "past-too-slow", IN_TERMINAL)
CORRECTION: Final = QuestionKind("correction", "questions about corrections", "past_seconds", "past-too-slow", IN_TERMINAL, 2)
"""Each holds a branch of the past in memory."""
KINDS: Final = (VIEW, PAST, STORY, CORRECTION)


class UntoldPast(HistoryError):
    """The HistoryError of a process that answered, with its status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Questions:
    """Of one server. `ask` and `call` are used by its event loop, `answer` by any thread. To be ended.

    `refused` counts what was not answered in time, or at all, by why.
    """

    def __init__(self, config: Config, processes: AnsweringProcesses) -> None:
        self._processes, self.refused = processes, Counter[str]()
        self._seconds: dict[QuestionKind, float] = {it: getattr(config, it.setting) for it in KINDS}
        self._places = {it: CapacityLimiter(it.at_once) for it in KINDS}
        self._threads = CapacityLimiter(math.inf)  # who has a place has a thread
        self._running: dict[QuestionKind, dict[object, str]] = {it: {} for it in KINDS}
        self.fault: str | None = None
        """Why nothing can be answered any more."""
        self._ended = False

    def end(self) -> None:
        """The server stops, and waits for no answer."""
        self._ended = True
        self._processes.end()

    async def ask(self, kind: QuestionKind, what: str, file: OpenedFile, question: Question, of: type[F]) -> F:
        """The answer; `what` is in messages. Raises Problem, StoreAway and sqlite3.Error."""
        return await self.call(kind, what, self.answer, kind, what, file, question, of)

    async def call(self, kind: QuestionKind, what: str, function: Callable[..., T], *args: Any) -> T:
        """What a function returns that asks once at most, in a thread. Raises a 503 problem if no place is free in time."""
        place, seconds, places = object(), self._seconds[kind] + LONGER, self._places[kind]
        try:
            async with asyncio.timeout(seconds):
                await places.acquire_on_behalf_of(place)
        except TimeoutError:
            names = ", ".join(sorted({*self._running[kind].values()}))
            raise self._refusal(
                kind, f"{kind.at_once} {kind.many} go on ({names:.400}), and no place was free for {seconds:g} s", again=True
            ) from None
        self._running[kind][place] = what
        try:
            return await to_thread.run_sync(function, *args, limiter=self._threads)
        finally:
            del self._running[kind][place]
            places.release_on_behalf_of(place)

    def answer(self, kind: QuestionKind, what: str, file: OpenedFile, question: Question, of: type[F]) -> F:
        """As `ask`, blocking, and without a place."""
        try:
            content = self._processes.ask(encode(Asked(file, question)), self._seconds[kind])
        except AnswerTooSlow:
            setting = f"RETOLD_{kind.setting.upper()}"
            problem = self._refusal(
                kind, f"{what} has not answered within {self._seconds[kind]:g} s ({setting}), and was ended"
            )
            log.warning("%s", problem.detail)
            raise problem from None
        except (AnswerLost, ForkerEnded, OSError) as error:
            raise self._unanswered(what, error) from error
        found = decode_found(content)
        if isinstance(found, Refused):
            raise problem_in(found)
        if isinstance(found, Untold):
            raise UntoldPast(found.status, found.why)
        if isinstance(found, FileAway):
            raise StoreAway if found.why is None else sqlite3.OperationalError(found.why)
        if not isinstance(found, of):
            raise TypeError(f"{what} was answered by {type(found).__name__}")
        return found

    def _unanswered(self, what: str, error: Exception) -> Problem:
        """The process has ended, none can be started for now, or the one that starts them is gone."""
        if self._ended:
            return Problem(503, STOPS, headers=RETRY_AFTER)
        self.refused["lost"] += 1
        if isinstance(error, AnswerLost):
            log.error("the process that answered %s %s", what, error.how)
            return Problem(500, f"the process that answered {what} {error.how}", kind=LOST)
        if isinstance(error, ForkerEnded):
            self.fault = "the process that starts those which answer has ended"
            return Problem(503, f"{self.fault}: the server is to be started again")
        return Problem(503, f"no process could be started to answer this: {error}", headers=RETRY_AFTER)

    def _refusal(self, kind: QuestionKind, what: str, *, again: bool = False) -> Problem:
        self.refused[kind.why] += 1
        return Problem(503, f"{what}; {kind.help}", kind=kind.problem, headers=RETRY_AFTER if again else None)


def problem_in(found: Refused) -> Problem:
    return Problem(found.status, found.detail, field=found.field, kind=found.kind, headers=found.headers, **found.members)
