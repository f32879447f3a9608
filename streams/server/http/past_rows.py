"""`GET /rows/NAMESPACE/KEY?_as_of=…&_known=…`: a row as it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import Response

from streams.data import Record
from streams.engine.envelope import from_micros, to_micros
from streams.eventfiles.numbers import time
from streams.history.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past_tables import PastTables
from streams.history.stored_past import StoredPast
from streams.history.stored_waiting import StoredWaiting
from streams.server.http.answers import answer
from streams.server.http.parts import ServerParts
from streams.server.http.past_asking import ask_past
from streams.server.http.problems import RETRY_AFTER, Problem


class PastRow(NamedTuple):
    """A row and its version, and the two times (µs) that it is told for."""

    row: Record | None
    version: int
    cut: Cut


async def row_as_it_was(
    request: Request, parts: ServerParts, namespace: str, key: str, given: Mapping[str, str]
) -> Response:
    """Its ETag has both times: with them in the request it never changes."""
    as_of, known = _micros("_as_of", given), _micros("_known", given)
    handlers = ApplicationHandlers(parts.app, parts.codec)

    def ask(past: StoredPast, _: StoredWaiting) -> PastRow:
        cut = Cut(as_of, _known(past.frontier(), known))
        return PastRow(*PastTables(CutPast(past, cut), handlers).table(namespace).entry(key), cut)

    found, at = await ask_past(request, parts, parts.pools.views, ask, untold=409)
    told: dict[str, Any] = {"as_of": _text(found.cut.as_of), "known": _text(found.cut.known)}
    if found.row is None:
        raise Problem(404, f"the table {namespace} had no row {key!r:.600} then", headers=at.headers, **told)
    body = {"key": key, "version": found.version, "row": found.row, **told}
    return answer(request, body, at, etag=f'"{found.version}.{found.cut.as_of}.{found.cut.known}"')


def _known(frontier: int | None, known: int | None) -> int:
    if frontier is None or (known is not None and known > frontier):
        until = "nothing is known for ever yet" if frontier is None else f"what is known for ever goes to {_text(frontier)}"
        raise Problem(503, f"{until}: what was recorded later may still be joined by more", headers=RETRY_AFTER)
    return frontier if known is None else known


def _micros(name: str, given: Mapping[str, str]) -> int | None:
    if name not in given:
        return None
    try:
        return to_micros(time(given[name]).astimezone(UTC))
    except (ValueError, OverflowError):  # one of the year 0 or 10000 in UTC
        raise Problem(
            422, f"{name} is {given[name][:80]!r}; a time with a zone was expected, such as 2026-01-31T12:00:00Z", field=name
        ) from None


def _text(micros: int | None) -> str | None:
    return None if micros is None else from_micros(micros).isoformat()
