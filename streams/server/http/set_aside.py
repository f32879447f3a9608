"""`GET /parked` and `GET /parked/NAMESPACE/PARTITION/PLACE`: what is set aside, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.data import EventData
from streams.engine.records import PARKED, QUARANTINED, UNANSWERED
from streams.engine.times import from_micros
from streams.errors import InvalidEvent, StreamsError
from streams.kafka.parked import InboxOffset, ParkedEntry, parse_inbox_offset
from streams.kafka.parked_checks import declared_answers
from streams.server.http.access_checks import asked_namespaces, principal_of, some_namespaces
from streams.server.http.answers import decoded, latest, ready
from streams.server.http.list_paging import limit_in
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.table_rows import known_namespace
from streams.server.readmodel.aside_listing import AsideQuery, ListedAside, aside_counts, aside_entries, aside_page

STATES = (PARKED, UNANSWERED, QUARANTINED)
PLACE = re.compile(r"\d{1,18}(-\d{1,9})?")
QUEUE = 100
"""Events behind the first of a key that are told."""


async def aside(request: Request) -> Response:
    parts = parts_of(request)
    given = known_params(request.query_params.multi_items(), "namespace", "key", "status", "_limit", "_next")
    if "namespace" in given:
        known_namespace(parts, given["namespace"])
    principal = principal_of(request)
    query = _query(given, asked_namespaces(principal, parts, given.get("namespace"), "operate"))
    ready(parts)
    return await in_thread(parts.pools.memory, _page, parts, query, some_namespaces(principal, parts, "operate"))


async def one(request: Request) -> Response:
    parts = parts_of(request)
    namespace, partition, place = (request.path_params[it] for it in ("namespace", "partition", "place"))
    known_params(request.query_params.multi_items())
    at = place_named(parts, namespace, partition, place)
    ready(parts)
    return await in_thread(parts.pools.memory, _one, parts, at)


def place_named(parts: ServerParts, namespace: str, partition: str, place: str) -> InboxOffset:
    """Raises a 404 or a 422 problem."""
    known_namespace(parts, namespace)
    if not (partition.isascii() and partition.isdigit() and len(partition) <= 6):
        raise Problem(422, f"the partition is {partition[:80]!r}; a whole number was expected", field="partition")
    if not (place.isascii() and PLACE.fullmatch(place)):
        raise Problem(422, f"the place is {place[:80]!r}; an inbox offset was expected, 1042, or 1042-1 of a timer", field="place")
    return parse_inbox_offset(f"{namespace}-{partition}@{place}")


def entries_at(parts: ServerParts, at: InboxOffset) -> Sequence[ParkedEntry]:
    """What is set aside there, with all of its key. Raises a 404 problem for nothing."""
    with parts.model.reading() as db:
        found = aside_entries(db, at)
    if not found:
        raise Problem(404, f"nothing is set aside at {at}, or not any more; /parked lists what is")
    return found


def _query(given: dict[str, str], namespaces: list[str] | None) -> AsideQuery:
    status = given.get("status")
    if status is not None and status not in STATES:
        raise Problem(422, f"status is {status[:80]!r}; one of {', '.join(STATES)} was expected", field="status")
    after = None
    if "_next" in given:
        try:
            after = parse_inbox_offset(given["_next"])
        except InvalidEvent:
            raise Problem(422, f"_next is {given['_next'][:80]!r}; the `next` of a page was expected", field="_next") from None
    return AsideQuery(limit_in(given), namespaces, given.get("key"), status, after)


def _page(parts: ServerParts, query: AsideQuery, counted: list[str] | None) -> Response:
    """`counted` are the namespaces of which it is told how much is set aside; None: all."""
    with parts.model.reading() as db:
        found, more = aside_page(db, query)
        counts = aside_counts(db, counted)
    ready(parts)  # the model may have been reset meanwhile
    body = {
        "events": [_listed(it) for it in found],
        "next": str(found[-1].inbox_offset) if more else None,
        "counts": {status: counts.get(status, 0) for status in STATES},
    }
    return latest(body)


def _listed(it: ListedAside) -> dict[str, Any]:
    return {
        "position": str(it.inbox_offset),
        "namespace": it.namespace,
        "partition": it.partition,
        "place": it.place,
        "status": it.status,
        "type": it.event_type,
        "key": it.key,
        "id": it.id,
        "reason": it.reason,
        "since": from_micros(it.recorded),
    }


def _one(parts: ServerParts, at: InboxOffset) -> Response:
    found = entries_at(parts, at)
    entry = next(it for it in found if it.inbox_offset == at)
    data = decoded(parts, entry.value)
    behind = [str(it.inbox_offset) for it in found if it.inbox_offset.order > at.order]
    answers: Sequence[type[EventData]] = ()
    if entry.header.status == UNANSWERED:
        with suppress(StreamsError):
            answers, _ = declared_answers(parts.app, parts.codec, entry)
    body = {
        "position": str(at),
        "namespace": at.namespace,
        "partition": at.partition,
        "place": str(at.position),
        "status": entry.header.status,
        "type": None if data is None else data.event_type,
        "key": entry.header.key,
        "reason": entry.header.reason,
        "detail": entry.header.detail or None,
        "since": from_micros(entry.header.recorded),
        "time": entry.time,
        "bytes": len(entry.value),
        "data": data,
        "first": str(found[0].inbox_offset),
        "behind": behind[:QUEUE],
        "behind_count": len(behind),
        "answers": [it.event_type for it in answers],
    }
    return latest(body)
