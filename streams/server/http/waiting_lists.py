"""`GET /waiting/timers` and `GET /waiting/calls`: what will happen later, and what gateways were asked and have not answered."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.engine.envelope import CALL, TIMER
from streams.engine.times import from_micros
from streams.server.access.principal import Principal, Right
from streams.server.http.access_checks import asked_namespaces, missing, principal_of, some_namespaces
from streams.server.http.answers import decoded, latest, ready
from streams.server.http.list_paging import cursor_in, cursor_text, limit_in
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.table_rows import known_namespace
from streams.server.readmodel.due_listing import DueOrder, DueQuery, ListedDue, due_counts, due_page


async def timers(request: Request) -> Response:
    parts = parts_of(request)
    return await _listed(request, parts, TIMER)


async def calls(request: Request) -> Response:
    parts = parts_of(request)
    return await _listed(request, parts, CALL)


async def _listed(request: Request, parts: ServerParts, kind: str) -> Response:
    given = known_params(request.query_params.multi_items(), "namespace", "key", "_limit", "_next")
    if "namespace" in given:
        known_namespace(parts, given["namespace"])
    principal = principal_of(request)
    if given.get("namespace") in principal.only:
        raise missing(principal, Right("read", f"events/{given['namespace']} without `only`"))
    targets = asked_namespaces(principal, parts, given.get("namespace"), "read", "events/")
    counted = some_namespaces(principal, parts, "read", "events/")
    ready(parts)
    query = _query(kind, given, _without_restricted(principal, parts, targets))
    return await in_thread(parts.pools.memory, _page, parts, query, _without_restricted(principal, parts, counted))


def _without_restricted(principal: Principal, parts: ServerParts, names: list[str] | None) -> list[str] | None:
    """None: all. What waits for a row may be of one that is not there yet, so nobody can say whose it is."""
    if not principal.only:
        return names
    known = [space.name for space in parts.app.namespaces] if names is None else names
    return [name for name in known if name not in principal.only]


def _query(kind: str, given: dict[str, str], targets: list[str] | None) -> DueQuery:
    last = cursor_in(given, tuple[int, str, int, str])
    return DueQuery(kind, limit_in(given), targets, given.get("key"), None if last is None else DueOrder(*last))


def _page(parts: ServerParts, query: DueQuery, counted: list[str] | None) -> Response:
    """`counted` are the namespaces for which it is told how much waits; None: all."""
    with parts.model.reading() as db:
        found, more = due_page(db, query)
        counts = due_counts(db, counted)
    ready(parts)  # the model may have been reset meanwhile
    last = cursor_text(found[-1].order) if more else None
    now = time.time_ns() // 1000
    body = {
        f"{query.kind}s": [_members(parts, query.kind, it, now) for it in found],
        "next": last,
        "counts": {kind: counts.get(kind, 0) for kind in (TIMER, CALL)},
    }
    return latest(body)


def _members(parts: ServerParts, kind: str, it: ListedDue, now: int) -> dict[str, Any]:
    data = decoded(parts, it.value)
    at = {"due": from_micros(it.at), "overdue": it.at < now} if kind == TIMER else {"since": from_micros(it.at)}
    return {
        "type": None if data is None else data.event_type,
        "namespace": it.target,
        "key": it.key,
        "id": it.id,
        **at,
        "data": data,
    }
