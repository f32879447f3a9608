"""Declared indexes: refused where they cannot be, made in the file without reading it again, and used by queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from streams import App, Namespace, Projection
from streams.codec import codec_of
from streams.data import Record
from streams.errors import DefinitionError
from streams.query.declared_indexes import Declared, advised_index, indexes_of
from streams.query.query import Query
from streams.query_parameters import read_query
from streams.server.readmodel.query_limit import QueryTooSlow
from streams.server.readmodel.row_answers import RowAnswers
from streams.server.readmodel.row_columns import columns_of
from streams.server.readmodel.row_indexes import index_statements
from streams.server.readmodel.row_query import RowQuery
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_moment import StoreMoment
from streams.server.readmodel.store_schema import row_table, table_statement
from tests.applications import shop
from tests.applications.bank.events import AccountRow
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.file_filler import BANK
from tests.support.memory_server import MemoryServer
from tests.support.things import HOUR, VALUES, Place, Thing
from tests.unit.test_cli import Project, demo, project
from tests.unit.test_read_model_file import TOPICS, filled, refold, reshape, rows
from tests.unit.test_server_errors import assert_problem

__all__ = ["demo", "project"]
COLUMNS = columns_of(Thing)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (["nothing"], "the index of thing by 'nothing' is not possible: the field is no field of its rows; there are text, note,"),
        (["cuont"], r"did you mean count\?"),
        (["tags"], "the field holds more than one value"),
        ([("count", "place")], "by 'place' is not possible: the field holds more than one value"),
        (["_key"], "the field is in every index, at its end"),
        (["_count"], "the field begins with _"),
        ([3], "the index of thing by 3"),
        ([()], "has no field, or one twice"),
        ([("count", "-count")], "has no field, or one twice"),
        (["count", ("count",)], r"the index \('count',\) of thing is declared twice"),
        ("count", r"a list was expected, such as \['count'\]"),
    ],
)
def test_an_index_that_cannot_be_is_refused_where_it_is_declared(declared: Any, message: str) -> None:
    """When the application is imported: of a namespace as of a projection."""
    with pytest.raises(DefinitionError, match=message):
        Namespace("thing", row=Thing, indexes=declared)
    with pytest.raises(DefinitionError, match=message):
        Projection("thing", row=Thing, indexes=declared)


def test_a_check_refuses_an_index_that_cannot_be(demo: Project) -> None:
    """With the sentence that names the field, before anything is deployed."""
    file = demo.folder / "processors" / "user.py"
    text = file.read_text(encoding="utf-8")
    changed = text.replace("row=UserRow", 'row=UserRow, indexes=["plna"]')
    assert changed != text
    demo.set("app", f"{demo.name}.user:app")
    demo.write("APP/user.py", f"{changed}\n\ndef app(): ...\n")
    said = demo.retold("check")
    assert said.code != 0
    assert "the index of user by 'plna' is not possible: the field is no field of its rows" in said.err
    assert "did you mean plan?" in said.err


def with_indexes(accounts: Declared, opened: Declared = ()) -> App:
    """The bank with other declared indexes."""
    account = Namespace("account", row=AccountRow, indexes=accounts)
    account.handlers, account.emits = BANK.namespace("account").handlers, BANK.namespace("account").emits
    [before] = BANK.projections
    projection = Projection("opened", row=OrdersPerDayRow, indexes=opened)
    projection.folds_by = before.folds_by
    return replace(BANK, namespaces=[account, *(it for it in BANK.namespaces if it.name != "account")], projections=[projection])


def declared_in(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as db:
        return {name for (name,) in db.execute("select name from sqlite_master where type = 'index' and name like 'by %'")}


def opened_with(state: Path, accounts: Declared, projected: Declared = ()) -> Store:
    app = with_indexes(accounts, projected)
    store = Store(state, "", app, codec_of(app))
    store.open()
    return store


def test_an_index_is_made_once_all_was_read(tmp_path: Path) -> None:
    """Row by row it would take longer; the file is answered from only afterwards."""
    store = opened_with(tmp_path, ["balance"], ["-count"])
    store.compare(TOPICS, {"account": 4})
    assert declared_in(store.file) == set()
    store.completed()
    assert declared_in(store.file) == {"by account: balance", "by opened: -count"}
    store.close()


def test_another_index_alone_reads_nothing_again(tmp_path: Path) -> None:
    """What is new is made from the rows there, what is not declared any more goes, and all else stays."""
    file = filled(tmp_path)
    for declared in (["balance"], ["-balance"], []):
        store = opened_with(tmp_path, declared, declared and ["count"])
        assert (store.is_complete, store.reread, store.changed, rows(file)) == (True, [], [], {"a": 7})
        store.close()
        expected = {f"by account: {declared[0]}", "by opened: count"} if declared else set[str]()
        assert declared_in(file) == expected


def test_tables_that_are_exchanged_have_their_indexes(tmp_path: Path) -> None:
    """Rows that were read again, and projections that were folded again, of another schema."""
    file = filled(tmp_path)
    reshape(file, "r_account")
    reshape(file, "p_opened")
    store = opened_with(tmp_path, ["balance"], ["count"])
    assert declared_in(file) == set(), "their rows have no such columns"
    refold(store)
    store.exchange("account", store.writer())
    store.close()
    assert declared_in(file) == {"by account: balance", "by opened: count"}


class Cases(Record, frozen=True, kw_only=True):
    aB: int = 0  # noqa: N815 - such names are what is tested
    ab: int = 0


def test_fields_that_differ_by_case_alone_are_two() -> None:
    """SQLite takes their names for one; their columns and indexes are called otherwise."""
    space, columns, table = Namespace("cases", row=Cases, indexes=["aB", "ab"]), columns_of(Cases), row_table("cases")
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(table_statement(table, Cases))
    writer = RowWriter(table, Cases)
    for n in range(9):
        writer.put(f"k{n}", 0, 1, Cases(aB=n, ab=-n), b"")
    writer.write(db)
    for statement in index_statements(space).values():
        db.execute(statement)
    db.execute("create table position(kind, ns, part, seq)")
    assert StoreMoment(db).lacks(table, columns) == []
    answers = RowAnswers(db, table, columns, whole=True)
    for parameters, found, plan in (
        ({"aB": "7"}, ["k7"], "index aB"),
        ({"ab": "-7"}, ["k7"], "index ab"),
        ({"aB__gte": "7", "_sort": "ab"}, ["k8", "k7"], "index ab"),
    ):
        query = read_query(parameters.items(), Cases, "cases")
        assert ([key for key, *_ in answers.page(query).rows], answers.plan(query)) == (found, plan)


def many(indexes: Declared) -> tuple[sqlite3.Connection, str]:
    """A table of a thousand rows with these indexes."""
    space = Namespace("thing", row=Thing, indexes=indexes)
    db, table = sqlite3.connect(":memory:", isolation_level=None), row_table("thing")
    db.execute(table_statement(table, Thing))
    writer = RowWriter(table, Thing)
    for n in range(1_000):
        text, note = VALUES["text"][n % 7], None if n % 5 == 0 else f"n{n % 50}"
        at = None if n % 3 == 0 else HOUR + timedelta(hours=n % 40)
        thing = Thing(text=text, note=note, count=n % 97, at=at, kind="a" if n % 2 else "b", place=Place(city=f"c{n % 9}"))
        writer.put(f"k{n}", 0, 1, thing, b"")
    writer.write(db)
    for statement in index_statements(space).values():
        db.execute(statement)
    return db, table


@pytest.mark.parametrize(
    ("indexes", "parameters"),
    [
        (["count"], {"count": "7"}),
        (["count"], {"count__gte": "90", "_sort": "count"}),
        (["count"], {"_sort": "-count"}),
        ([("text", "-count")], {"text": "a", "_sort": "-count"}),
        ([("text", "-count")], {"text": "a", "_sort": "count"}),
        ([("text", "-count")], {"_sort": "text,-count"}),
        ([("text", "-count")], {"_sort": "-text,count"}),
        (["note"], {"note__startswith": "n4", "_sort": "note"}),
        (["note"], {"_sort": "note"}),
        (["-note"], {"_sort": "-note"}),
        ([("kind", "at")], {"kind": "a", "_sort": "-at"}),
        ([("kind", "at")], {"kind": "a", "_sort": "at"}),
        (["place.city"], {"place.city": "c3"}),
    ],
)
def test_all_pages_are_found_by_the_index_without_sorting(indexes: Declared, parameters: dict[str, str]) -> None:
    """The first page, and each piece of those behind it: however deep, a page reads about as many rows as it has."""
    db, table = many(indexes)
    answers = RowAnswers(db, table, COLUMNS, whole=True)
    query = read_query(parameters.items(), Thing, "thing")
    assert answers.plan(query).startswith("index ")
    place = answers.page(query).next
    deep = [] if place is None else [replace(query, after=place)]
    for each in (query, *deep):
        for text, values in RowQuery(table, each, COLUMNS, whole=True).pieces():
            plan = " ".join(row[3] for row in db.execute(f"explain query plan {text}", [*values, 51]))
            assert "B-TREE" not in plan, (text, plan)
            assert "INDEX by thing: " in plan, (text, plan)


@pytest.mark.parametrize(
    ("parameters", "plan"),
    [
        ({}, "scan"), ({"count": "1"}, "scan"), ({"_key": "k1"}, "index _key"), ({"_key__gte": "k9"}, "index _key"),
        ({"text": "a"}, "index text"),
    ],
)  # fmt: skip
def test_a_plan_says_how_rows_are_looked_for(parameters: dict[str, str], plan: str) -> None:
    """By a declared index, by a part of the keys, or by looking at all."""
    db, table = many(["text"])
    assert RowAnswers(db, table, COLUMNS, whole=True).plan(read_query(parameters.items(), Thing, "thing")) == plan


@pytest.mark.parametrize(
    ("parameters", "advised"),
    [
        ({"count__gte": "1"}, ["count"]),
        ({"text": "a", "_sort": "-count"}, ["text", "-count"]),
        ({"text__in": "a,b", "count__lt": "7"}, ["text", "count"]),
        ({"_sort": "-at,count"}, ["-at", "count"]),
        ({"note__contains": "a"}, []),
        ({"_key": "a"}, []),
        ({"text": "a", "_sort": "text"}, ["text"]),
    ],
)
def test_an_index_is_advised_that_would_help(parameters: dict[str, str], advised: Sequence[str]) -> None:
    """What is equal first, then the order or a range; nothing helps `contains`."""
    assert advised_index(read_query(parameters.items(), Thing, "thing")) == advised


def test_what_is_advised_can_be_declared() -> None:
    """In the words of the refusal."""
    query = read_query({"text": "a", "_sort": "-count"}.items(), Thing, "thing")
    [index] = indexes_of("thing", Thing, [advised_index(query)])
    assert [str(part) for part in index] == ["text", "-count"]


def test_a_question_that_takes_too_long_is_ended() -> None:
    """Also if it finds nothing, as a search through all rows does."""
    db, table = many([])
    more = "(select 1 as n union select 2 union select 3 union select 4)"
    db.execute(f"insert into {table}(key, body, f_text) select key || '-' || n, body, f_text from {table}, {more}")
    answers = RowAnswers(db, table, COLUMNS, whole=True)
    with pytest.raises(QueryTooSlow), answers.limited(0.0):
        answers.page(read_query({"text__contains": "nowhere"}.items(), Thing, "thing"))
    assert answers.page(Query(limit=1)).rows, "the limit is of one question"


@pytest.mark.parametrize(
    ("indexes", "question", "words"),
    [
        ([], "total__gte=5&_sort=-total", 'order has no index for total; declare indexes=["-total"]'),
        ([], "customer=c7&_sort=-placed", 'order has no index for customer, placed; declare indexes=[("customer", "-placed")]'),
        ([], "customer__contains=x", "ask for fewer"),
        (["customer"], "customer__in=c7,c8&_count=exact", "ask for fewer"),
    ],
)
def test_a_query_that_is_too_slow_names_the_index_to_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexes: Declared, question: str, words: str
) -> None:
    """503 without Retry-After: the same query would take as long again."""
    monkeypatch.setattr("streams.server.readmodel.query_limit.STEPS", 1)
    app = shop.app()
    order = Namespace("order", row=shop.order.row_type, indexes=indexes)
    order.handlers, order.emits = shop.order.handlers, shop.order.emits
    app = replace(app, namespaces=[order, *(it for it in app.namespaces if it.name != "order")])
    with MemoryServer(app, tmp_path, query_seconds="0.001") as server:
        server.kafka.writer._db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
            "insert into r_order(key, version, body, f_customer, f_total, f_placed) select 'k' || i, 1, '{}', 'c7', i, i from n"
        )
        got = server.http.get(f"/rows/order?{question}")
        assert_problem(got, 503, words)
        assert got.json()["type"] == "/-/problems/query-too-slow"
        assert "Retry-After" not in got.headers


def test_an_answer_says_how_long_it_was_looked_for_and_how(tmp_path: Path) -> None:
    """In the header that browsers show in their tools."""
    with MemoryServer(shop.app(), tmp_path) as server:
        timing = server.http.get("/rows/order?_key=o1").headers["Server-Timing"]
    assert timing.startswith("db;dur=")
    assert timing.endswith(';desc="index _key"')
