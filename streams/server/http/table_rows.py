"""`GET /rows/NAMESPACE/KEY` and `GET /rows/NAMESPACE`: committed rows of tables."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.errors import did_you_mean
from streams.namespace import Namespace
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import answer, at_least, ready, refuse_lacking, standing_at
from streams.server.http.asked_row import TableAsked, asked_row
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.past_answers import split_times
from streams.server.http.past_rows import row_as_it_was, rows_as_they_were
from streams.server.http.permitted_rows import refuse_past
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.http.row_lists import ListRequest, read_list
from streams.server.http.row_stream import OpenedRows, answer_rows
from streams.server.http.row_watching import watch_rows
from streams.server.http.snapshot import refuse_rows
from streams.server.http.stream_text import asks_for_stream
from streams.server.readmodel.model import RemadeTables
from streams.server.readmodel.store_moment import StoreMoment

KINDS = ("table",)
MOST_UNREADABLE = 100
"""The most keys of unreadable rows in an answer."""


async def rows(request: Request) -> Response:
    parts, namespace = parts_of(request), request.path_params["namespace"]
    row_type = known_namespace(parts, namespace).row_type
    if asks_for_stream(request.scope):
        return await watch_rows(request, parts, namespace)
    model = ready(parts)
    params, asked = split_times(request.query_params.multi_items())
    listed = read_list(request, params, row_type, namespace, versioned=True)
    if asked is not None:
        refuse_past(principal_of(request), namespace)
        return await rows_as_they_were(request, parts, listed, asked)
    refuse_rows(model, namespace)
    await at_least(request, model, KINDS)
    open_rows = partial(_open, parts, listed, model.remade)
    return await answer_rows(request, parts, listed, open_rows, partial(ready, parts))


async def row(request: Request) -> Response:
    parts = parts_of(request)
    namespace, key = request.path_params["namespace"], request.path_params["key"]
    return await one_row(request, parts, namespace, key)


async def one_row(request: Request, parts: ServerParts, namespace: str, key: str) -> Response:
    known_namespace(parts, namespace)
    of = TableAsked(KINDS, (), lambda model: [model.partition_of(namespace, key)], refuse_rows, row_as_it_was)
    found = await asked_row(request, parts, namespace, key, of)
    if isinstance(found, Response):
        return found
    kept, at = found
    if kept is None:
        up_to = ", ".join(at.texts)
        raise Problem(404, f"the table {namespace} has no row {key!r:.600}, up to {up_to}", headers=at.headers)
    if kept.body is None:
        wrong = f"the row {key!r:.200} of {namespace} does not read here: {kept.problem}"
        raise Problem(503, wrong, headers={**RETRY_AFTER, **at.headers})
    etag = parts.row_etag(namespace, kept.version)
    return answer(request, {"key": key, "version": kept.version, "row": msgspec.Raw(kept.body)}, at, etag=etag)


def known_namespace(parts: ServerParts, name: str) -> Namespace[Any]:
    """The namespace. Raises a 404 problem that lists the existing ones."""
    for namespace in parts.app.namespaces:
        if namespace.name == name:
            return namespace
    names = [each.name for each in parts.app.namespaces]
    near, known = did_you_mean(name, names), ", ".join(names) or "none"
    raise Problem(404, f"{parts.app.name} has no namespace {name[:100]!r}{near}; it has {known}")


def _open(parts: ServerParts, asked: ListRequest, remade: RemadeTables, moment: StoreMoment) -> OpenedRows:
    """The rows of a moment. `remade` is of before."""
    model, name, table = parts.model, asked.table, parts.model.tables[asked.table]
    at = standing_at(model, moment, KINDS, model.partitions([name])).of_tables(remade, [name])
    refuse_lacking(model, moment, name, table, asked.query, at)
    count, some = moment.unreadable(table, MOST_UNREADABLE)
    told = (0, []) if asked.restricted else (count, [key for key, _ in some])  # nobody knows whose these are
    refuse_rows(ready(parts), name)  # the model may have been reset meanwhile
    rows = moment.rows_of(table, model.columns[name], whole=count == 0)
    return OpenedRows(at, rows, {"count": told[0], "keys": told[1]})
