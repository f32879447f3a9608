"""The rows that a question asks for, now: a page, or the whole result row by row, of one moment that is held until its end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Final, NamedTuple

from anyio import WouldBlock, fail_after
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.server.http.answers import AnswerPosition
from streams.server.http.parts import ServerParts
from streams.server.http.pools import in_thread
from streams.server.http.problems import RETRY_AFTER, STOPS, Problem
from streams.server.http.row_forms import FORMS
from streams.server.http.row_lists import ListRequest, form_headers, list_answer
from streams.server.http.timed_lists import timed_page, timely
from streams.server.readmodel.row_answers import RowAnswers, StoredRow
from streams.server.readmodel.store_moment import StoreMoment

LONGEST: Final = 300.0
"""s that a result may take: until it ends, the file's journal grows."""


class OpenedRows(NamedTuple):
    """The position of a moment, its rows, and those that are in no page, if there can be some."""

    at: AnswerPosition
    rows: RowAnswers
    unreadable: Mapping[str, Any] | None


Open = Callable[[StoreMoment], OpenedRows]
Pieces = Iterator[Sequence[StoredRow]]


class HeldResponse(StreamingResponse):
    """Gives back what it holds when it ends, however it ends: also if its client goes away, or takes nothing for `LONGEST`."""

    def __init__(self, held: ExitStack, lines: AsyncIterator[bytes], headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(lines, headers=headers, media_type=media_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with fail_after(LONGEST):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            raise Problem(503, f"the result takes longer than {LONGEST:.0f} s: ask for it in pages, with _limit") from None
        finally:
            self._held.close()


async def answer_rows(
    request: Request, parts: ServerParts, asked: ListRequest, open_rows: Open, still: Callable[[], object]
) -> Response:
    """`open_rows` and `still` raise problems: the second one if what was answered from is not there any more."""
    if asked.all_rows:
        return await stream_rows(parts, asked, open_rows, request.state.lasts)
    return await in_thread(parts.pools.memory, _page, request, parts, asked, open_rows, still)


def _page(request: Request, parts: ServerParts, asked: ListRequest, open_rows: Open, still: Callable[[], object]) -> Response:
    with parts.model.moment() as moment:
        opened = open_rows(moment)
        found, timing = timed_page(parts, opened.rows, asked.table, asked.query)
    still()
    return list_answer(request, asked, found, opened.at, opened.unreadable, timing)


async def stream_rows(parts: ServerParts, asked: ListRequest, open_rows: Open, lasts: Callable[[], bool]) -> Response:
    """`open_rows` raises problems. Raises a 503 problem if too many run, or if their first row is not found in time."""
    held = ExitStack()
    try:
        _take_turn(parts, held)
        opened, first, rest = await in_thread(parts.pools.results, _begun, parts, asked, held, open_rows)
    except BaseException:
        held.close()
        raise
    left_out = 0 if opened.unreadable is None else opened.unreadable["count"]
    headers = {**opened.at.headers, "Cache-Control": "no-cache", **form_headers(asked, left_out)}
    return HeldResponse(held, _lines(parts, asked, opened.rows, first, rest, lasts), headers, FORMS[asked.form])


def _take_turn(parts: ServerParts, held: ExitStack) -> None:
    turns, mine = parts.pools.results_at_once, object()
    try:
        turns.acquire_on_behalf_of_nowait(mine)
    except WouldBlock:
        most = int(turns.total_tokens)
        wrong = f"{most} whole results are being sent, which is the most at once: ask again, or for a page, with _limit"
        raise Problem(503, wrong, headers=RETRY_AFTER) from None
    held.callback(turns.release_on_behalf_of, mine)


def _begun(
    parts: ServerParts, asked: ListRequest, held: ExitStack, open_rows: Open
) -> tuple[OpenedRows, Sequence[StoredRow] | None, Pieces]:
    """With the first rows, before which all may have to be sorted: for as long as a page may take."""
    opened = open_rows(held.enter_context(parts.model.moment()))
    rows = held.enter_context(closing(opened.rows.all_rows(asked.query)))
    with timely(parts, opened.rows, asked.table, asked.query):
        return opened, next(rows, None), rows


async def _lines(
    parts: ServerParts, asked: ListRequest, rows: RowAnswers, some: Sequence[StoredRow] | None, rest: Pieces,
    lasts: Callable[[], bool],
) -> AsyncIterator[bytes]:  # fmt: skip
    """Ends in the middle, which a client sees, if it takes too long, the server stops, or `lasts` says that its token is gone."""
    deadline, writer = time.monotonic() + LONGEST, asked.writer
    yield writer.head()
    while some is not None:
        yield b"".join(writer.line(*row) for row in some)
        if parts.stopping.is_set():
            raise Problem(503, STOPS)
        if not lasts():
            raise Problem(401, "the token of this request does not count any more")
        some = await in_thread(parts.pools.results, _next, rows, rest, deadline)


def _next(rows: RowAnswers, rest: Pieces, deadline: float) -> Sequence[StoredRow] | None:
    """Raises QueryTooSlow: what is between two rows may be long, too."""
    with rows.limited(deadline - time.monotonic()):
        return next(rest, None)
