"""Rows, projections and views as they were: `?_as_of=…&_known=…`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from streams.errors import HistoryError
from streams.history.cut_past import Cut
from streams.history.past_views import view_of_past
from streams.server.http.pages import cursor_of
from streams.server.http.parts import ServerParts
from streams.server.http.past_answers import ask_as_of, nothing_then, past_answer
from streams.server.http.problems import Problem
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.row_query import RowQuery
from streams.view import View

log = logging.getLogger("retold.server")
MOST_UNTOLD = 100
"""The most keys of rows that cannot be told in an answer."""


async def row_as_it_was(request: Request, parts: ServerParts, namespace: str, key: str, asked: Cut) -> Response:
    found = await ask_as_of(request, parts, asked, lambda store: store.entry(namespace, key), limited=False)
    (row, version), cut, at = found
    if row is None:
        raise nothing_then(f"the table {namespace} had no row {key!r:.600} then", cut, at)
    return past_answer(request, {"key": key, "version": version, "row": row}, cut, at)


async def rows_as_they_were(request: Request, parts: ServerParts, namespace: str, query: RowQuery, asked: Cut) -> Response:
    def ask(store: PastStore) -> dict[str, Any]:
        found, untold = store.page(namespace, query), store.untold(namespace)
        shown = [{"key": key, "version": version, "row": msgspec.Raw(body)} for key, version, body in found.rows]
        some = dict(islice(untold.items(), MOST_UNTOLD))
        unreadable = {"count": len(untold), "keys": list(some), "reasons": some}
        return {"rows": shown, "next": cursor_of(query, found.last), "unreadable": unreadable}

    body, cut, at = await ask_as_of(request, parts, asked, ask)
    return past_answer(request, body, cut, at)


async def projected_as_it_was(request: Request, parts: ServerParts, name: str, key: str, asked: Cut) -> Response:
    (row, _), cut, at = await ask_as_of(request, parts, asked, lambda store: store.entry(name, key))
    if row is None:
        raise nothing_then(f"the projection {name} had no row {key!r:.600} then", cut, at)
    return past_answer(request, {"key": key, "row": row}, cut, at)


async def projection_as_it_was(request: Request, parts: ServerParts, name: str, query: RowQuery, asked: Cut) -> Response:
    def ask(store: PastStore) -> dict[str, Any]:
        found = store.page(name, query)
        shown = [{"key": key, "row": msgspec.Raw(body)} for key, _, body in found.rows]
        return {"rows": shown, "next": cursor_of(query, found.last)}

    body, cut, at = await ask_as_of(request, parts, asked, ask)
    return past_answer(request, body, cut, at)


async def view_as_it_was(request: Request, parts: ServerParts, view: View, names: Mapping[str, str], asked: Cut) -> Response:
    def ask(store: PastStore) -> msgspec.Raw:
        did = "raised"
        try:
            found = view_of_past(store, view, names)
            did = "gave what cannot be written as JSON:"
            return msgspec.Raw(to_json(found))
        except HistoryError:
            raise
        except BaseException as error:  # in a pool thread none of these means a cancellation
            log.exception("the view %s %s", view.path, did)
            detail = f"the view {view.path} {did} {type(error).__name__}; the server's log says more"
            raise Problem(500, detail) from error

    found, cut, at = await ask_as_of(request, parts, asked, ask)
    return past_answer(request, {"answer": found}, cut, at)
