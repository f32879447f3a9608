"""`POST /what-if`: the past with a change, decided again in memory; one difference a line, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import DefinitionError
from streams.history.branch.branch import what_if
from streams.history.branch.branch_tables import compare_projections, compare_views, refuse_unknown_views
from streams.history.branch.change_document import LARGEST, answers_of, change_of, decode_document
from streams.history.difference.difference_members import difference_members
from streams.history.event_lookup import in_file
from streams.history.stored.stored_corrections import counted, kept_corrections
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.server.http.parameters import known_params
from streams.server.http.parts import parts_of
from streams.server.http.past_asking import ask_past
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.requests import JSON, media_type, read_body
from streams.server.readmodel.row_json import to_json

NDJSON = "application/x-ndjson"
DECISIONS = 100_000
"""Events that are decided for one answer, or read to fold a projection: a server has others to give."""


async def asked(request: Request) -> Response:
    parts = parts_of(request)
    handlers = parts.handlers
    known_params(request.query_params.multi_items(), "_min_position")
    if media_type(request) != JSON:
        raise Problem(415, f"a change is {JSON}", field="Content-Type")
    document = decode_document(await read_body(request, LARGEST))
    answers = answers_of(parts.app, document)
    try:
        refuse_unknown_views(parts.app, document.views)
    except DefinitionError as error:
        raise Problem(422, str(error), field="views") from error

    def ask(past: StoredPast, waiting: StoredWaiting) -> list[dict[str, Any]]:
        find, corrections = in_file(past, waiting, parts.app), kept_corrections(past.db)
        counts = counted(past, handlers, corrections, parts.past_codec, parts.decided)
        change = change_of(parts.app, document, lambda name: find(counts, name))
        if not (change.insert or change.remove or change.replace):
            raise Problem(422, "nothing is changed: insert, remove or replace an event", field="insert")
        branch = what_if(counts, handlers, change, answers=answers, limit=DECISIONS)
        compare_projections(counts, branch, handlers, DECISIONS)
        compare_views(counts, branch, handlers, document.views, DECISIONS)
        return list(difference_members(branch.difference))

    found, at = await ask_past(request, parts, partial(in_thread, parts.pools.past), ask, untold=422)
    return Response(b"".join(_lines(found)), headers=at.headers, media_type=NDJSON)


def _lines(members: list[dict[str, Any]]) -> Iterator[bytes]:
    for it in members:
        yield to_json(it) + b"\n"
