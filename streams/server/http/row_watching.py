"""Rows, projections and their lists as event streams, on the address where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import InvalidQuery
from streams.query.query import Query
from streams.query_parameters import OURS as OF_PAGES
from streams.query_parameters import read_query
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import at_least, ready, refuse_lacking, standing, standing_at
from streams.server.http.open_stream import open_stream
from streams.server.http.parts import ServerParts
from streams.server.http.past_answers import TIMES
from streams.server.http.problems import Problem
from streams.server.http.snapshot import check, refuse_rows
from streams.server.http.stream_begin import OURS, begin_in
from streams.server.http.timed_lists import timely
from streams.server.http.watched_rows import AskedRows, WatchedRows
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.store_moment import StoreMoment

TAKEN: Final = ("_select", "_min_position", *OURS)
NOT_OF_STREAMS: Final = ({*OF_PAGES} - {"_select"}) | {"_form", *TIMES}
TABLE, PROJECTION = ("table",), ("log",)


async def watch_rows(request: Request, parts: ServerParts, name: str, key: str | None = None) -> Response:
    """Of a namespace or a projection, of which there is one with this name: all rows that the address asks for, or one."""
    model, is_projection = ready(parts), name in parts.model.projected
    kinds = PROJECTION if is_projection else TABLE
    given = _known(request.query_params.multi_items())
    asked = _asked(request, parts, name, key)
    begin = begin_in(request, dict(given), ("now", "snapshot"))
    _refuse(model, name)
    await at_least(request, model, kinds, [name] if is_projection else [])
    partitions = model.partitions(model.folded_by[name] if is_projection else [name])
    headers = {} if asked.restricted else standing(model, kinds, partitions).of_tables(model.remade, [name]).headers
    same = ("rows", name, key, asked.restricted, tuple(asked.query.filters), tuple(asked.query.select or ()))
    source = partial(_source, parts, name, asked)
    shared = partial(parts.shared_streams.of, same, source, parts.watching_threads)
    return await open_stream(request, parts, shared, begin, headers)


def _source(parts: ServerParts, name: str, asked: AskedRows) -> WatchedRows:
    return WatchedRows(parts.model, asked, parts.watched_tables.of(name))


def _asked(request: Request, parts: ServerParts, name: str, key: str | None) -> AskedRows:
    """Raises InvalidQuery."""
    model, always = parts.model, principal_of(request).only.get(name, ())
    pairs = [it for it in request.query_params.multi_items() if it[0] not in (*OURS, "_min_position")]
    if key is not None and (filters := [it for it, _ in pairs if it != "_select"]):
        raise InvalidQuery(f"{filters[0][:100]!r} is no parameter of one row; there are {', '.join(TAKEN)}", filters[0][:100])
    query = read_query(pairs, model.row_types[name], name, TAKEN, always)
    is_projection = name in model.projected
    table = model.projected[name] if is_projection else model.tables[name]
    refuse = partial(_refuse_at, model, name, table, query, PROJECTION if is_projection else TABLE)
    limit = partial(_timely, parts, name, table, query)
    return AskedRows(name, table, model.row_types[name], query, key, not is_projection, bool(always), refuse, limit)


def _timely(
    parts: ServerParts, name: str, table: str, query: Query, moment: StoreMoment
) -> AbstractContextManager[None]:
    """As a page is looked for: threads that look for rows are few."""
    return timely(parts, moment.rows_of(table, parts.model.columns[name]), name, query)


def _known(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parameters of streams. Raises a 422 problem for one that is of pages, or given twice."""
    found: list[tuple[str, str]] = []
    for name, text in pairs:
        if name in NOT_OF_STREAMS:
            raise Problem(
                422, f"{name} is of pages, and a stream has none; a stream takes filters, {', '.join(TAKEN)}", field=name
            )
        if name in TAKEN and name in dict(found):
            raise Problem(422, f"the parameter {name!r} is given twice; one value was expected", field=name, kind="given-twice")
        found.append((name, text))
    return found


def _refuse(model: ReadModel, name: str) -> None:
    refuse: Callable[[ReadModel, str], None] = check if name in model.projected else refuse_rows
    refuse(model, name)


def _refuse_at(
    model: ReadModel, name: str, table: str, query: Query, kinds: tuple[str, ...], moment: StoreMoment | None
) -> None:
    """Raises a problem for rows that are not to be told, or not to be found by what is asked for, as they are now."""
    _refuse(model, name)
    if moment is None:
        return
    partitions = model.partitions(model.folded_by[name] if name in model.projected else [name])
    refuse_lacking(model, moment, name, table, query, standing_at(model, moment, kinds, partitions))
