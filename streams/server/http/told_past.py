"""Rows, projections and views as they were, in a process that answers questions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from streams.errors import HistoryError, NotKnownYet
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
from streams.server.readmodel.row_answers import FoundPage
from streams.server.readmodel.row_json import to_json

T = TypeVar("T")
MOST: Final = 100_000
"""Events that are read for one answer, if it is of more than a row: a server has others to give."""
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
        page, members = _page(store, listed), dict[str, Any]()
        if versioned:
            untold = store.untold(asked.table)
            some = dict(islice(untold.items(), MOST_UNTOLD))
            members["unreadable"] = {"count": len(untold), "keys": list(some), "reasons": some}
        members[HELD_BACK] = held = held_back_members(store.held_back(AskedTables().table(asked.table)))
        if listed.form == "json":
            content = to_json({**page_members(listed, page), **members, **time_members(cut)})
        else:
            content = lines_of(listed, page.rows)
        following = cursor_of(listed.table, listed.query, page.next)
        return PastFound(content, cut, held, following, members["unreadable"]["count"] if versioned else 0)

    return _as_of(parts, asked.cut, ask, MOST)


def _page(store: PastStore, listed: ListRequest) -> FoundPage:
    """The page that is asked for; or one of all rows, which are of few events, as answers about the past are."""
    if listed.all_rows:
        return FoundPage([row for some in store.all_rows(listed.table, listed.query) for row in some], None)
    return store.page(listed.table, listed.query)


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
        rows = StoredRows(past, cut, parts.handlers, parts.code, counted)
        with PastStore(parts.app, parts.codec, rows, most) as store:
            return ask(store, cut)

    return parts.ask_past(asking, untold=409)
