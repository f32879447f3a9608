"""A page that is looked for in a limited time, and the header that says how long it took, and by which index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from streams.query.declared_indexes import TableIndex, advised_index, index_text
from streams.query.query import Query
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.readmodel.query_limit import QueryTooSlow
from streams.server.readmodel.row_answers import FoundPage, RowAnswers


def timed_page(parts: ServerParts, rows: RowAnswers, table: str, query: Query) -> tuple[FoundPage, Mapping[str, str]]:
    """The page, and its header. Raises a 503 problem that names the index to declare."""
    began = time.perf_counter()
    with timely(parts, rows, table, query):
        found = rows.page(query)
    taken = (time.perf_counter() - began) * 1_000
    return found, {"Server-Timing": f'db;dur={taken:.1f};desc="{rows.plan(query)}"'}


@contextmanager
def timely(parts: ServerParts, rows: RowAnswers, table: str, query: Query) -> Iterator[None]:
    """Raises a 503 problem that names the index to declare if looking for the rows takes longer than `query_seconds`."""
    seconds = parts.config.query_seconds
    try:
        with rows.limited(seconds):
            yield
    except QueryTooSlow:
        raise Problem(503, too_slow(table, query, parts.indexes[table], seconds), kind="query-too-slow") from None


def too_slow(table: str, query: Query, declared: Sequence[TableIndex], seconds: float) -> str:
    """What to declare; or, if that is declared or would not help, what else to do."""
    advised = advised_index(query)
    began = f"looking for these rows of {table} took longer than {seconds:g} s"
    if not advised or ",".join(advised) in map(index_text, declared):
        return f"{began}: ask for fewer, without a count, facets or `contains`, or let a projection have what is asked for often"
    names = ", ".join(f'"{each}"' for each in advised)
    index = names if len(advised) == 1 else f"({names})"
    fields = ", ".join(each.removeprefix("-") for each in advised)
    return f"{began}: {table} has no index for {fields}; declare indexes=[{index}]"
