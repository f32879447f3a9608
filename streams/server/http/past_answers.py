"""`_as_of` and `_known`: the past as of a time, in the answers about rows, projections and views."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import NotKnownYet
from streams.history.cut_past import Cut
from streams.history.past_times import cut_of, cut_until, moment_of, time_members, token_of
from streams.history.stored.stored_corrections import counted_at, kept_corrections
from streams.history.stored.stored_past import StoredPast, noted_frontier
from streams.history.stored.stored_rows import StoredRows
from streams.history.stored.stored_waiting import StoredWaiting
from streams.server.http.answers import AnswerPosition, answer_bytes
from streams.server.http.parts import ServerParts
from streams.server.http.past_asking import ask_past
from streams.server.http.pools import InThread, in_thread
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.row_json import to_json

T = TypeVar("T")
TIMES = ("_as_of", "_known")
TIMES_HEADER = "Retold-As-Of"
"""The header of both times of an answer. Given as `_as_of`, they give the same answer."""
AHEAD = 60_000_000
"""µs that what is asked for as known may be ahead of this clock: a client's may be fast, and is told to come again."""
MOST = 100_000
"""Events that are read for one answer, if it is of more than a row: a server has others to give."""


def split_times(pairs: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], Cut | None]:
    """The other parameters, and the times that are asked for; None: it is asked as of now. Raises a 422 problem."""
    pairs = list(pairs)
    given: dict[str, str] = {}
    for name, text in pairs:
        if name in TIMES and name in given:
            raise Problem(422, f"the parameter {name!r} is given twice; one value was expected", field=name)
        if name in TIMES:
            given[name] = text
    return [it for it in pairs if it[0] not in TIMES], read_times(given) if given else None


def read_times(given: Mapping[str, str]) -> Cut:
    """Raises a 422 problem."""
    asked = _read("_as_of", given, cut_of) or Cut()
    known = _read("_known", given, moment_of)
    if known is not None and asked.known is not None:
        raise Problem(422, f"_as_of is the {TIMES_HEADER} of an answer and says what was known; without _known", field="_known")
    cut = Cut(asked.as_of, asked.known if known is None else known)
    if cut.known is not None and cut.known > time.time_ns() // 1_000 + AHEAD:
        name = "_as_of" if known is None else "_known"
        raise Problem(422, f"{name} is {given[name][:80]!r}, which is in the future: what is known then cannot be told", field=name)
    return cut


def _read(name: str, given: Mapping[str, str], read: Callable[[str], T]) -> T | None:
    if name not in given:
        return None
    try:
        return read(given[name])
    except ValueError:
        or_token = f", or the {TIMES_HEADER} of an answer" if name == "_as_of" else ""
        raise Problem(
            422, f"{name} is {given[name][:80]!r}; a time with a zone was expected, such as 2026-01-31T12:00:00Z{or_token} (+ in "
            "an address is %2B)", field=name,
        ) from None  # fmt: skip


async def ask_as_of(
    request: Request, parts: ServerParts, asked: Cut, ask: Callable[[PastStore], T], *, limited: bool = True,
    calling: InThread | None = None,
) -> tuple[T, Cut, AnswerPosition]:  # fmt: skip
    """What `ask` returns, the times that it is told for, and the position of the file.

    `limited`: to `MOST` events. `calling` calls it in a thread; None: it waits for one of those that are for the past.
    """

    def asking(past: StoredPast, _: StoredWaiting) -> tuple[T, Cut]:
        try:
            cut = cut_until(noted_frontier(past.db), asked)
        except NotKnownYet as error:
            raise Problem(503, str(error), headers=RETRY_AFTER) from error
        counted = counted_at(past, cut, parts.handlers, kept_corrections(past.db), parts.past_codec, parts.decided)
        rows = StoredRows(past, cut, parts.handlers, parts.code, counted)
        with PastStore(parts.app, parts.codec, rows, MOST if limited else None) as store:
            return ask(store), cut

    (found, cut), at = await ask_past(request, parts, calling or partial(in_thread, parts.pools.past), asking, untold=409)
    return found, cut, at


def past_answer(
    request: Request, body: Mapping[str, Any], cut: Cut, at: AnswerPosition, more: Mapping[str, str] | None = None
) -> Response:
    """JSON. Nothing in it changes any more: its ETag is a strong one, a hash of its bytes."""
    return past_bytes(request, to_json({**body, **time_members(cut)}), cut, at, more=more)


def past_bytes(
    request: Request, content: bytes, cut: Cut, at: AnswerPosition, *, media_type: str = "application/json",
    more: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """The same of any form, with `more` headers."""
    tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    return answer_bytes(
        request, content, at, etag=tag, media_type=media_type, more={TIMES_HEADER: token_of(cut), **(more or {})}
    )


def nothing_then(sentence: str, held: Mapping[str, Any] | None, cut: Cut, at: AnswerPosition) -> Problem:
    """A 404 of what was not there at that time; `held` had happened by then, and is not told."""
    members = {"held_back": held, **time_members(cut)}
    return Problem(404, sentence, headers={**at.headers, TIMES_HEADER: token_of(cut)}, **members)
