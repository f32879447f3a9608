"""Rows, projections and views as they were: `?_as_of=…&_known=…`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.data import Record
from streams.errors import HistoryError
from streams.history.cut_past import Cut
from streams.history.held_back import held_back_members
from streams.history.past_views import AskedTables, view_of_past
from streams.server.http.answers import AnswerPosition
from streams.server.http.parts import ServerParts
from streams.server.http.past_answers import ask_as_of, nothing_then, past_answer, past_bytes
from streams.server.http.problems import Problem
from streams.server.http.row_forms import FORMS
from streams.server.http.row_lists import ListRequest, form_headers, lines_of, next_links, page_members
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.row_answers import FoundPage
from streams.server.readmodel.row_json import to_json
from streams.view import View

log = logging.getLogger("retold.server")
HELD_BACK = "held_back"
"""The member of what had happened by then and is not told, since it depends on a later time; null: nothing."""
HELD_BACK_HEADER = "Retold-Held-Back"
"""How many events that are, where no member can say it."""
MOST_UNTOLD = 100
"""The most keys of rows that cannot be told in an answer."""


async def row_as_it_was(request: Request, parts: ServerParts, namespace: str, key: str, asked: Cut) -> Response:
    found = await ask_as_of(request, parts, asked, lambda store: _entry(store, namespace, key), limited=False)
    (row, version, held), cut, at = found
    if row is None:
        raise nothing_then(f"the table {namespace} had no row {key!r:.600} then", held, cut, at)
    return past_answer(request, {"key": key, "version": version, "row": row, HELD_BACK: held}, cut, at)


def _entry(store: PastStore, name: str, key: str) -> tuple[Record | None, int, dict[str, Any] | None]:
    """A row, its version, and what is held back of it."""
    return *store.entry(name, key), held_back_members(store.held_back(AskedTables().row(name, key)))


async def rows_as_they_were(request: Request, parts: ServerParts, listed: ListRequest, asked: Cut) -> Response:
    def ask(store: PastStore) -> tuple[FoundPage, dict[str, Any]]:
        page, untold = _page(store, listed), store.untold(listed.table)
        some = dict(islice(untold.items(), MOST_UNTOLD))
        unreadable = {"count": len(untold), "keys": list(some), "reasons": some}
        return page, {"unreadable": unreadable, **_held_back_of(store, listed.table)}

    (page, members), cut, at = await ask_as_of(request, parts, asked, ask)
    return _list_answer(request, listed, page, members, cut, at)


def _page(store: PastStore, listed: ListRequest) -> FoundPage:
    """The page that is asked for; or one of all rows, which are of few events, as answers about the past are."""
    if listed.all_rows:
        return FoundPage([row for some in store.all_rows(listed.table, listed.query) for row in some], None)
    return store.page(listed.table, listed.query)


def _list_answer(
    request: Request, listed: ListRequest, page: FoundPage, members: Mapping[str, Any], cut: Cut, at: AnswerPosition
) -> Response:
    """`members` say what is in no page, and what is held back."""
    headers = {**form_headers(listed, members.get("unreadable")), **next_links(request, listed, page)}
    if listed.form == "json":
        return past_answer(request, {**page_members(listed, page), **members}, cut, at, headers)
    if (held := members[HELD_BACK]) is not None:
        headers[HELD_BACK_HEADER] = str(held["events"])
    return past_bytes(request, lines_of(listed, page.rows), cut, at, media_type=FORMS[listed.form], more=headers)


def _held_back_of(store: PastStore, name: str) -> dict[str, Any]:
    return {HELD_BACK: held_back_members(store.held_back(AskedTables().table(name)))}


async def projected_as_it_was(request: Request, parts: ServerParts, name: str, key: str, asked: Cut) -> Response:
    (row, _, held), cut, at = await ask_as_of(request, parts, asked, lambda store: _entry(store, name, key))
    if row is None:
        raise nothing_then(f"the projection {name} had no row {key!r:.600} then", held, cut, at)
    return past_answer(request, {"key": key, "row": row, HELD_BACK: held}, cut, at)


async def projection_as_it_was(request: Request, parts: ServerParts, listed: ListRequest, asked: Cut) -> Response:
    def ask(store: PastStore) -> tuple[FoundPage, dict[str, Any]]:
        return _page(store, listed), _held_back_of(store, listed.table)

    (page, members), cut, at = await ask_as_of(request, parts, asked, ask)
    return _list_answer(request, listed, page, members, cut, at)


async def view_as_it_was(request: Request, parts: ServerParts, view: View, names: Mapping[str, str], asked: Cut) -> Response:
    def ask(store: PastStore) -> dict[str, Any]:
        did, read = "raised", AskedTables()
        try:
            found = view_of_past(store, view, names, read)
            did = "gave what cannot be written as JSON:"
            return {"answer": msgspec.Raw(to_json(found)), HELD_BACK: held_back_members(store.held_back(read))}
        except HistoryError:
            raise
        except BaseException as error:  # in a pool thread none of these means a cancellation
            log.exception("the view %s %s", view.path, did)
            detail = f"the view {view.path} {did} {type(error).__name__}; the server's log says more"
            raise Problem(500, detail) from error

    body, cut, at = await ask_as_of(request, parts, asked, ask, calling=partial(parts.view_calls.call, view.path))
    return past_answer(request, body, cut, at)
