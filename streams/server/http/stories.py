"""`GET /events/EVENT/story` and `GET /rows/NAMESPACE/KEY/story`: what led to an event or a row, and what followed."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import NoSuchEvent
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.steps_of_others import telling_all
from streams.history.event_lookup import put_in
from streams.history.stored.stored_corrections import counted, kept_corrections
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.event_corrections import EventCorrections
from streams.history.story.named_event import event_named, nothing_happened
from streams.history.story.story import DEEPEST, DEPTH, DEPTH_OF_ROW, LAST, MOST_LAST, Storyteller
from streams.history.story.story_members import key_story_members, story_members
from streams.server.access.principal import READ_ALL
from streams.server.http.access_checks import principal_of, require
from streams.server.http.answers import answer
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.past_asking import Ask, ask_past
from streams.server.http.paths import escaped_path
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.table_rows import known_namespace, one_row

END = "/story"


async def of_event(request: Request) -> Response:
    parts, event = parts_of(request), request.path_params["event"]
    given = known_params(request.query_params.multi_items(), "_depth", "_min_position")
    depth = _number("_depth", given, DEPTH, 0, DEEPEST)

    def ask(past: StoredPast, waiting: StoredWaiting) -> dict[str, Any]:
        teller = _storyteller(parts, past, waiting)
        try:
            found = event_named(past, waiting, parts.app, event)
        except NoSuchEvent:
            counts = counted(past, parts.handlers, kept_corrections(past.db), parts.past_codec, parts.decided)
            if counts is past or (it := put_in(counts, event)) is None:
                raise
            found, teller = it, Storyteller(counts, parts.handlers, waiting, _corrections_of(parts, past))
        return story_members(teller.of_event(found, depth))

    return await _told(request, parts, ask)


async def of_row(request: Request) -> Response:
    parts = parts_of(request)
    namespace, key = request.path_params["namespace"], request.path_params["key"]
    if not escaped_path(request.scope).endswith(END):  # the slash is escaped, so it belongs to the key
        return await one_row(request, parts, namespace, f"{key}{END}")
    require(principal_of(request), READ_ALL)
    known_namespace(parts, namespace)
    given = known_params(request.query_params.multi_items(), "_depth", "_last", "_min_position")
    depth = _number("_depth", given, DEPTH_OF_ROW, 0, DEEPEST)
    last = _number("_last", given, LAST, 1, MOST_LAST)

    def ask(past: StoredPast, waiting: StoredWaiting) -> dict[str, Any]:
        found = _storyteller(parts, past, waiting).of_key((namespace, key), depth, last)
        if found is None:
            raise nothing_happened(past, (namespace, key))
        return key_story_members(found)

    return await _told(request, parts, ask)


def _storyteller(parts: ServerParts, past: StoredPast, waiting: StoredWaiting) -> Storyteller:
    def corrected() -> CorrectedLog:
        return CorrectedLog.of(past, kept_corrections(past.db), parts.past_codec, parts.decided)

    return Storyteller(past, telling_all(corrected, parts.handlers), waiting, _corrections_of(parts, past))


def _corrections_of(parts: ServerParts, past: StoredPast) -> EventCorrections:
    return EventCorrections(kept_corrections(past.db), parts.past_codec)


async def _told(request: Request, parts: ServerParts, ask: Ask[dict[str, Any]]) -> Response:
    found, at = await ask_past(request, parts, partial(in_thread, parts.pools.memory), ask)
    return answer(request, {**found, "positions": at.texts, "lag": at.lag}, at)


def _number(name: str, given: dict[str, str], default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise Problem(422, f"{name} is {text[:80]!r}; a whole number from {least} to {most} was expected", field=name)
    return int(text)
