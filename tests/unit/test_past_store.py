"""Tables and projections as of a time, made from a file: as those that are folded in memory, in today's order."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.cli.output.row_text import natural
from streams.errors import BeforeHistory, CodeChanged, TooMuch
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past_tables import PastTables
from streams.history.past_views import view_of_past
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_rows import StoredRows
from streams.query.query import Query, SortField
from streams.query.row_fields import fields_of
from streams.server.readmodel import past_store, row_answers
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_high_water import fill_high_water
from tests.applications import shop
from tests.applications.shop.events import OrderPlace, OrderRow
from tests.support.other_code import refusing, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, made, past_of
from tests.support.stored_pasts import stored
from tests.unit.test_past_times import a_cut

some = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
BY_TIME = [SortField(fields_of(OrderRow)["placed"])]


@contextmanager
def kept(there: Partitions) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        while fill_high_water(store._db, 2**62):
            pass
        yield store


def store_of(there: Partitions, store: Store, cut: Cut, most: int | None = None) -> PastStore:
    handlers = ApplicationHandlers(there.app, there.codec)
    return PastStore(there.app, there.codec, StoredRows(StoredPast(store._db, there.codec), cut, handlers), most)


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_tables_from_a_file_are_those_of_memory(kind: str, seed: int) -> None:
    """Whole, row by row and in pages, whichever are written before they are complete."""
    chosen, there = made(kind, seed)
    past = past_of(there)
    cut = a_cut(chosen, past)
    told = PastTables(CutPast(past, cut), ApplicationHandlers(there.app, there.codec))
    names = [*(it.name for it in there.app.namespaces), *(it.name for it in there.app.projections)]
    with pytest.MonkeyPatch.context() as patch, kept(there) as store, store_of(there, store, cut) as tables:
        patch.setattr(past_store, "KNOWN_ROWS", 2)
        for name in names:
            rows = dict(told.of(name))
            assert [key for key, *_ in tables.page(name, Query(limit=1000)).rows] == sorted(rows)
            assert dict(tables.table(name)) == rows
            assert all(tables.entry(name, key)[0] == row for key, row in rows.items())
            assert [key for key, *_ in tables.natural(name, None)] == sorted(rows, key=natural)
            assert [row for _, row, _ in tables.natural(name, 3)] == [rows[key] for key in sorted(rows, key=natural)[:3]]


@pytest.mark.parametrize("sort", [[], BY_TIME])
def test_a_page_of_large_rows_ends_early_and_goes_on(monkeypatch: pytest.MonkeyPatch, sort: list[SortField]) -> None:
    """In the order of keys, in which rows are folded one by one, and in another one."""
    _, there = made("shop", 4)
    with kept(there) as store, store_of(there, store, Cut(None, 2**61)) as tables:
        whole = tables.page("order", Query(sort=sort, limit=99)).rows
        most = sum(len(body) for *_, body in whole) // 4
        for module in (past_store, row_answers):
            monkeypatch.setattr(module, "PAGE_BYTES", most)
        page = tables.page("order", Query(sort=sort, limit=99))
        found = [page.rows]
        while page.next is not None:
            page = tables.page("order", Query(sort=sort, limit=99, after=page.next))
            found.append(page.rows)
    assert [row for rows in found for row in rows] == whole
    assert 4 <= len(found) < len(whole)
    assert all(sum(len(body) for *_, body in rows) <= most for rows in found)


def test_an_erased_event_leaves_nothing_told_that_rests_on_it() -> None:
    """Its row is in no page; a view that reads the table, and a projection of its namespace, are refused. Before it all is told."""
    _, there = made("shop", 4)
    events = list(past_of(there).events())
    gone = next(it for it in events if it.event_type == "order.place" and it.key == "o2")
    [view] = there.app.views
    with kept(there) as store:
        writer = store.writer()
        writer.erase_record("order", gone.order.partition, gone.order.sequence, "o2")
        writer.commit()
        with store_of(there, store, Cut(None, 2**61)) as tables:
            assert "o2" not in [key for key, *_ in tables.page("order", Query(limit=99)).rows]
            assert len(tables.page("order", Query(sort=BY_TIME, limit=99)).rows) == 12
            assert list(tables.untold("order")) == ["o2"]
            for refused in (
                lambda: tables.entry("order", "o2"),
                lambda: tables.table("orders_per_day"),
                lambda: view_of_past(tables, view, {"customer": "c"}),
            ):
                with pytest.raises(BeforeHistory, match="'o2' of order cannot be told: its event with the sequence"):
                    refused()
        with store_of(there, store, Cut(None, gone.order.recorded - 1)) as tables:
            assert not tables.untold("order")
            assert [row.count for _, row, _ in tables.natural("orders_per_day", None)] == [2]  # type: ignore[attr-defined]


def test_a_stricter_handler_leaves_only_its_own_rows_untold() -> None:
    """The others are in pages of either order; a row alone, and a view that reads the table, are refused; projections go on."""
    _, there = made("shop", 4)
    [view] = there.app.views
    app = with_change(shop.app(), OrderPlace, refusing({"o2", "o5"}))
    why = "the row 'o2' of order cannot be told: order.place was accepted as order-"
    others = sorted(f"o{number}" for number in range(13) if number not in (2, 5))

    def tables_of() -> PastStore:
        past, handlers = StoredPast(store._db, there.codec), ApplicationHandlers(app, there.codec)
        return PastStore(app, there.codec, StoredRows(past, Cut(None, 2**61), handlers))

    with kept(there) as store:
        with tables_of() as tables:
            assert [key for key, *_ in tables.page("order", Query(limit=5)).rows] == others[:5]  # o0 to o12
            assert list(tables.untold("order")) == []  # so far it was not read
            assert [key for key, *_ in tables.page("order", Query(limit=99)).rows] == others
            assert list(tables.untold("order")) == ["o2", "o5"]
            assert tables.untold("order")["o2"].startswith(why)
            assert tables.untold("order")["o2"].endswith("and its handler now rejects it (not today)")
            assert tables.entry("order", "o3")[0] is not None
        refusing_it: list[Callable[[PastStore], object]] = [
            lambda it: it.entry("order", "o2"), lambda it: it.whole("order"), lambda it: view_of_past(it, view, {"customer": "c"}),
        ]  # fmt: skip
        for ask in refusing_it:
            with tables_of() as tables, pytest.raises(CodeChanged, match=rf"{why}.*not today\)\. The version that handled it"):
                ask(tables)
        with tables_of() as tables:
            assert len(tables.page("order", Query(sort=BY_TIME, limit=99)).rows) == 11
            assert [key for key, *_ in tables.natural("order", 3)] == ["o0", "o1", "o10"]
            assert list(tables.untold("order")) == ["o2", "o5"]
            assert [row.count for _, row, _ in tables.natural("orders_per_day", None)] == [13]  # type: ignore[attr-defined]
            with pytest.raises(CodeChanged, match="the table order is needed whole, and 2 of its rows cannot"):
                tables.whole("order")


def test_a_large_answer_is_in_pieces_or_refused() -> None:
    """A page by keys goes on in another one; what needs all of a table is refused, and says what has no such limit."""
    _, there = made("shop", 4)
    with kept(there) as store:
        after: tuple[str, ...] | None = None
        found = list[str]()
        while True:
            with store_of(there, store, Cut(None, 2**61), most=10) as tables:
                page = tables.page("order", Query(limit=50, after=after))
            assert len(page.rows) < 13
            found += [key for key, *_ in page.rows]
            if page.next is None:
                break
            after = page.next
        assert found == sorted(f"o{number}" for number in range(13))
        for name, sort in (("order", BY_TIME), ("orders_per_day", [])):
            with store_of(there, store, Cut(None, 2**61), most=10) as tables, pytest.raises(TooMuch, match="more than 10 events"):
                tables.page(name, Query(sort=sort))


def test_the_order_for_people_has_numbers_first(tmp_path: Path) -> None:
    """As today's rows are shown: numbers by their value, then the rest by their letters."""
    keys = ["10", "9", "09", "b", "a10", "a9", "0", "00", "1b", "é", "10" * 20]
    with closing(sqlite3.connect(tmp_path / "keys")) as db:
        db.execute("create table t(key text)")
        db.executemany("insert into t values(?)", [(key,) for key in keys])
        assert [key for (key,) in db.execute(f"select key from t {past_store.NATURAL}")] == sorted(keys, key=natural)
