"""Lists of rows: what is asked for, and an answer of a page, or of all rows, as JSON, ndjson or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from streams.data import Record
from streams.errors import InvalidQuery
from streams.query.cursors import cursor_of
from streams.query.filters import Filter
from streams.query.query import Query
from streams.query_parameters import read_query
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import AnswerPosition, answer_bytes
from streams.server.http.past_answers import TIMES
from streams.server.http.row_forms import FORMS, LISTS, RowForm, form_of, shown_row
from streams.server.readmodel.row_answers import FoundPage, StoredRow
from streams.server.readmodel.row_json import to_json

BESIDES = ("_form", "_min_position", *TIMES)
HELD_BACK = "held_back"
"""The member of what had happened by then and is not told, since it depends on a later time; null: nothing."""
UNREADABLE = "Retold-Unreadable"
"""The header of how many rows are left out of an answer in ndjson or CSV, since they do not read here."""


class ListRequest(NamedTuple):
    """What is asked of a table, and how the answer is to be written. `all_rows`: not of a page but of the whole result.

    `versioned`: its rows have versions, as those of a projection have not. `restricted`: some rows are not there for who asks.
    """

    table: str
    row_type: type[Record]
    query: Query
    form: str
    all_rows: bool
    versioned: bool
    restricted: bool

    @property
    def writer(self) -> RowForm:
        return LISTS[self.form](self.row_type, self.query.select, versioned=self.versioned)


def read_list(
    request: Request, pairs: Iterable[tuple[str, str]], row_type: type[Record], table: str, *, versioned: bool
) -> ListRequest:
    """Raises InvalidQuery."""
    always = principal_of(request).only.get(table, ())
    return list_of(pairs, request.headers.getlist("accept"), always, row_type, table, versioned=versioned)


def list_of(
    pairs: Iterable[tuple[str, str]], accept: Sequence[str], always: Sequence[Filter], row_type: type[Record], table: str, *,
    versioned: bool,
) -> ListRequest:  # fmt: skip
    """The same of what a request has: its parameters, the header `Accept`, and conditions of all rows that are there for it."""
    given = [*pairs]
    query = read_query(given, row_type, table, BESIDES, always)
    names = dict(given)
    form = form_of(accept, names.get("_form"))
    if form != "json" and (query.count is not None or query.facets):
        name = "_facet" if query.facets else "_count"
        raise InvalidQuery(f"{name} is for answers in JSON; this one is asked for as {form}, which has rows alone", name)
    return ListRequest(table, row_type, query, form, form != "json" and "_limit" not in names, versioned, bool(always))


def list_answer(
    request: Request, asked: ListRequest, found: FoundPage, at: AnswerPosition, unreadable: Mapping[str, Any] | None,
    more: Mapping[str, str],
) -> Response:  # fmt: skip
    """A page. `unreadable` are rows that are in no page, if there can be some; `more` are headers."""
    left_out = 0 if unreadable is None else unreadable["count"]
    headers = {**more, **form_headers(asked, left_out), **next_link(request, cursor_of(asked.table, asked.query, found.next))}
    if asked.form == "json":
        body = page_members(asked, found) | ({} if unreadable is None else {"unreadable": unreadable})
        body |= {"positions": at.texts, "lag": at.lag}
        return answer_bytes(request, to_json(body), at, more=headers)
    return answer_bytes(request, lines_of(asked, found.rows), at, media_type=FORMS[asked.form], more=headers)


def lines_of(asked: ListRequest, rows: Iterable[StoredRow]) -> bytes:
    """Rows in a form that has nothing else."""
    writer = asked.writer
    return writer.head() + b"".join(writer.line(*row) for row in rows)


def form_headers(asked: ListRequest, left_out: int) -> Mapping[str, str]:
    """That the form depends on what the client takes; and how many rows are left out, where no member can say it."""
    return {"Vary": "Accept", **({UNREADABLE: str(left_out)} if left_out and asked.form != "json" else {})}


def page_members(asked: ListRequest, found: FoundPage) -> dict[str, Any]:
    """The members of a page in JSON."""
    rows = [shown_row(*row, asked.query.select, versioned=asked.versioned) for row in found.rows]
    body: dict[str, Any] = {"rows": rows, "next": cursor_of(asked.table, asked.query, found.next)}
    if found.counted is not None:
        body |= {"count": found.counted.number, "more": found.counted.more}
    if found.facets is not None:
        body["facets"] = {name: [{"value": it.value, "count": it.often} for it in each] for name, each in found.facets.items()}
    return body


def next_link(request: Request, following: str | None) -> Mapping[str, str]:
    """Where the next page is, by its cursor."""
    return {} if following is None else {"Link": f'<{_next_url(request, following)}>; rel="next"'}


def _next_url(request: Request, cursor: str) -> str:
    pairs: Sequence[tuple[str, str]] = [it for it in request.query_params.multi_items() if it[0] != "_next"]
    return f"{request.scope['raw_path'].decode('ascii')}?{urlencode([*pairs, ('_next', cursor)])}"
