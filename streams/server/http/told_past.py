"""Rows, projections and views as they were, in a process that answers questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Final, TypeVar

import msgspec

from streams.errors import HistoryError, NotKnownYet, TooMuch
from streams.history.cut_past import Cut
from streams.history.held_back import held_back_members
from streams.history.past_times import cut_until, time_members
from streams.history.past_views import AskedTables, view_of_past
from streams.history.stored.stored_corrections import counted_at, kept_corrections
from streams.history.stored.stored_past import StoredPast, noted_frontier
from streams.history.stored.stored_rows import StoredRows
from streams.history.stored.stored_waiting import StoredWaiting
from streams.query.cursors import cursor_of
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.http.question_forms import PastFound, PastRowQuestion, PastRowsQuestion, PastViewQuestion
from streams.server.http.row_lists import HELD_BACK, ListRequest, lines_of, list_of, page_members
from streams.server.http.view_answers import raised_in, view_at
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.row_answers import FoundPage, StoredRow
from streams.server.readmodel.row_json import to_json

T = TypeVar("T")
MOST: Final = 100_000
"""Events that are read for one answer, if it is of more than a row: a server has others to give."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of the rows of one answer that has all of them: it is in memory, in the process that tells it and in the server."""
MOST_UNTOLD: Final = 100
"""The most keys of rows that cannot be told in an answer."""


def past_row(parts: AnsweringParts, asked: PastRowQuestion) -> PastFound:
    versioned = asked.table in {space.name for space in parts.app.namespaces}

    def ask(store: PastStore, cut: Cut) -> PastFound:
        row, version = store.entry(asked.table, asked.key)
        held = held_back_members(store.held_back(AskedTables().row(asked.table, asked.key)))
        if row is None:
            return PastFound(None, cut, held)
        told = {"key": asked.key, "version": version, "row": row} if versioned else {"key": asked.key, "row": row}
        return PastFound(to_json({**told, HELD_BACK: held, **time_members(cut)}), cut, held)

    return _as_of(parts, asked.cut, ask, None if versioned else MOST)


def past_rows(parts: AnsweringParts, asked: PastRowsQuestion) -> PastFound:
    versioned = asked.table in {space.name for space in parts.app.namespaces}
    listed = list_of(asked.pairs, asked.accept, (), parts.model.row_types[asked.table], asked.table, versioned=versioned)

    def ask(store: PastStore, cut: Cut) -> PastFound:
        if listed.all_rows:
            page, content = FoundPage((), None), lines_of(listed, _all_rows(store, listed))
        else:
            page, content = store.page(listed.table, listed.query), b""
        members = dict[str, Any]()
        if versioned:
            untold = store.untold(asked.table)
            some = dict(islice(untold.items(), MOST_UNTOLD))
            members["unreadable"] = {"count": len(untold), "keys": list(some), "reasons": some}
        members[HELD_BACK] = held = held_back_members(store.held_back(AskedTables().table(asked.table)))
        if listed.form == "json":
            content = to_json({**page_members(listed, page), **members, **time_members(cut)})
        elif not listed.all_rows:
            content = lines_of(listed, page.rows)
        following = cursor_of(listed.table, listed.query, page.next)
        return PastFound(content, cut, held, following, members["unreadable"]["count"] if versioned else 0)

    return _as_of(parts, asked.cut, ask, MOST)


def _all_rows(store: PastStore, listed: ListRequest) -> Iterator[StoredRow]:
    """Not of a page but of the whole result. Raises TooMuch for more than is sent in one answer."""
    size = 0
    for row in chain.from_iterable(store.all_rows(listed.table, listed.query)):
        size += len(row[2])
        if size > MOST_BYTES:
            raise TooMuch(
                f"the rows hold more than {MOST_BYTES:,} bytes, which is the most that is told of the past in one answer: ask for "
                "pages, with _limit; or ask `retold get` with --as-of or --known, which has no such limit"
            )
        yield row


def past_view(parts: AnsweringParts, asked: PastViewQuestion) -> PastFound:
    view = view_at(parts.app, asked.path)

    def ask(store: PastStore, cut: Cut) -> PastFound:
        did, read = "raised", AskedTables()
        try:
            found = view_of_past(store, view, asked.names, read)
            did = "gave what cannot be written as JSON:"
            value = msgspec.Raw(to_json(found))
            held = held_back_members(store.held_back(read))
        except HistoryError:
            raise
        except BaseException as error:  # in this process none of these means an end
            raise raised_in(view, did, error) from error
        return PastFound(to_json({"answer": value, HELD_BACK: held, **time_members(cut)}), cut, held)

    return _as_of(parts, asked.cut, ask, MOST)


def _as_of(parts: AnsweringParts, asked: Cut, ask: Callable[[PastStore, Cut], T], most: int | None) -> T:
    """What `ask` returns, of the times that are told. `most` limits the events that are read; None: nothing does."""

    def asking(past: StoredPast, _: StoredWaiting) -> T:
        try:
            cut = cut_until(noted_frontier(past.db), asked)
        except NotKnownYet as error:
            raise Problem(503, str(error), headers=RETRY_AFTER) from error
        counted = counted_at(past, cut, parts.handlers, kept_corrections(past.db), parts.past_codec, parts.decided)
        rows = StoredRows(past, cut, parts.telling(past), parts.code, counted)
        with PastStore(parts.app, parts.codec, rows, most) as store:
            return ask(store, cut)

    return parts.ask_past(asking, untold=409)
