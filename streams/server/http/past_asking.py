"""Questions about the recorded past, answered from the read model's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from streams.errors import BeforeHistory, HistoryError, NoSuchEvent, TooMuch, UnsupportedSchema
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_waiting import StoredWaiting
from streams.server.http.answers import AnswerPosition, at_least, ready, standing
from streams.server.http.parts import ServerParts
from streams.server.http.pools import InThread
from streams.server.http.problems import Problem

T = TypeVar("T")
KINDS = ("log",)
Ask = Callable[[StoredPast, StoredWaiting], T]


async def ask_past(
    request: Request, parts: ServerParts, in_thread: InThread, ask: Ask[T], *, untold: int | None = None
) -> tuple[T, AnswerPosition]:
    """What `ask` returns, which `in_thread` calls, and the position that it is true at.

    `ask` lets HistoryError pass: it may be asked again, once more schemas are known. `untold` is the status of the problem that
    one becomes then; None: the error's own.
    """
    model = ready(parts)
    await at_least(request, model, KINDS)
    at = standing(model, KINDS, model.partitions())  # before it is told, so that the position is never ahead of it
    try:
        return await in_thread(_ask, parts, ask), at
    except (NoSuchEvent, BeforeHistory, TooMuch):
        raise
    except HistoryError as error:
        if untold is None:
            raise
        raise Problem(untold, str(error)) from error


def _ask(parts: ServerParts, ask: Ask[T]) -> T:
    with parts.model.reading() as db:
        try:
            found = _asked(parts, ask, db)
        except HistoryError as error:
            if not isinstance(error.__cause__, UnsupportedSchema):
                raise
            learn_schemas(db, parts.codec)
            found = _asked(parts, ask, db)
    ready(parts)  # the model may have been reset meanwhile
    return found


def _asked(parts: ServerParts, ask: Ask[T], db: sqlite3.Connection) -> T:
    return ask(StoredPast(db, parts.past_codec), StoredWaiting(db, parts.codec))
