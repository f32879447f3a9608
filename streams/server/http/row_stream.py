"""The whole result of a question, row by row: all of one moment of the file, which is held until the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from fastapi.responses import Response, StreamingResponse

from streams.server.http.answers import STOPS, AnswerPosition
from streams.server.http.pages import ListRequest, form_headers
from streams.server.http.parts import ServerParts
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.row_forms import FORMS
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


async def stream_rows(parts: ServerParts, asked: ListRequest, open_rows: Open) -> Response:
    """`open_rows` raises problems."""
    held = ExitStack()
    try:
        opened = await in_thread(parts.pools.memory, _opened, parts, held, open_rows)
    except BaseException:
        held.close()
        raise
    headers = {**opened.at.headers, "Cache-Control": "no-cache", **form_headers(asked, opened.unreadable)}
    lines = _lines(parts, asked, held, opened.rows.all_rows(asked.query))
    return StreamingResponse(lines, headers=headers, media_type=FORMS[asked.form])


def _opened(parts: ServerParts, held: ExitStack, open_rows: Open) -> OpenedRows:
    return open_rows(held.enter_context(parts.model.moment()))


async def _lines(
    parts: ServerParts, asked: ListRequest, held: ExitStack, rows: Iterator[Sequence[StoredRow]]
) -> AsyncIterator[bytes]:
    """Ends in the middle, which a client sees, if it takes too long or the server stops."""
    deadline, writer = time.monotonic() + LONGEST, asked.writer
    try:
        yield writer.head()
        while (some := await in_thread(parts.pools.memory, next, rows, None)) is not None:
            yield b"".join(writer.line(*row) for row in some)
            if time.monotonic() > deadline:
                raise Problem(503, f"the result takes longer than {LONGEST:.0f} s: ask for it in pages, with _limit")
            if parts.stopping.is_set():
                raise Problem(503, STOPS)
    finally:
        held.close()
