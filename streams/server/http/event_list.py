"""`GET /events` and `GET /events/NAMESPACE`: what was handled, the latest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.engine.times import from_micros
from streams.history.recorded_event import OrderKey
from streams.server.access.principal import Principal
from streams.server.http.access_checks import principal_of, some_namespaces
from streams.server.http.answers import answer, at_least, ready, standing
from streams.server.http.list_paging import cursor_in, cursor_text, limit_in
from streams.server.http.log_watching import watch_log
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.permitted_rows import hidden_keys
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.stream_text import asks_for_stream
from streams.server.http.table_rows import known_namespace
from streams.server.readmodel.event_listing import OUTCOMES, EventQuery, ListedEvent, Permit, event_page

KINDS = ("log",)
FILTERS = ("type", "key", "id", "outcome")
OURS = ("_limit", "_next", "_min_position")


async def events(request: Request) -> Response:
    parts = parts_of(request)
    return await _listed(request, parts, some_namespaces(principal_of(request), parts, "read", "events/"))


async def of_namespace(request: Request) -> Response:
    parts, namespace = parts_of(request), request.path_params["namespace"]
    known_namespace(parts, namespace)
    return await _listed(request, parts, [namespace])


async def _listed(request: Request, parts: ServerParts, namespaces: list[str] | None) -> Response:
    """None: all namespaces."""
    if asks_for_stream(request.scope):
        return await watch_log(request, parts, namespaces)
    query = _query(request.query_params.multi_items(), namespaces)
    model = ready(parts)
    await at_least(request, model, KINDS)
    return await in_thread(parts.pools.memory, _page, request, parts, query)


def _page(request: Request, parts: ServerParts, query: EventQuery) -> Response:
    model = parts.model
    partitions = model.partitions(query.namespaces)
    at = standing(model, KINDS, partitions)  # before the events, so that the position is never ahead of them
    with model.reading() as db:
        found = event_page(db, query, permit=_permit(parts, principal_of(request)))
    ready(parts)  # the model may have been reset meanwhile
    following = None if found.last is None else cursor_text(found.last[:4])
    shown = [_members(it) for it in found.events]
    body = {"events": shown, "next": following, "positions": at.texts, "lag": at.lag}
    return answer(request, body, at)


def _permit(parts: ServerParts, principal: Principal) -> Permit | None:
    """What leaves out the events of rows that are not there for a principal; None: it sees all."""
    if not principal.only:
        return None

    def permit(some: Sequence[ListedEvent]) -> list[ListedEvent]:
        hidden = hidden_keys(parts, principal, ((it.namespace, it.key) for it in some))
        return [it for it in some if (it.namespace, it.key) not in hidden]

    return permit


def _members(it: ListedEvent) -> dict[str, Any]:
    return {
        "position": f"{it.namespace}-{it.partition}:{it.sequence}",
        "namespace": it.namespace,
        "partition": it.partition,
        "sequence": it.sequence,
        "offset": it.inbox if it.inbox >= 0 else None,
        "type": it.event_type,
        "key": it.key,
        "id": it.id,
        "kind": it.kind,
        "time": from_micros(it.time),
        "recorded": from_micros(it.recorded),
        "outcome": it.outcome,
        "reason": it.reason,
        "by": it.by,
    }


def _query(pairs: Iterable[tuple[str, str]], namespaces: list[str] | None) -> EventQuery:
    given = known_params(pairs, *FILTERS, *OURS)
    outcome = given.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        *names, last_name = OUTCOMES
        expected = f"{', '.join(names)} or {last_name}"
        raise Problem(422, f"outcome is {outcome[:80]!r}; {expected} was expected", field="outcome")
    last = cursor_in(given, tuple[int, str, int, int])
    before = None if last is None else OrderKey(*last)
    return EventQuery(limit_in(given), namespaces, given.get("type"), given.get("key"), given.get("id"), outcome, before)
