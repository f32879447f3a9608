"""Rows, projections and views as they were, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from streams.codec import codec_of
from streams.engine.times import to_micros
from streams.server.http import told_past
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from streams.testing.world import START
from tests.applications import shop
from tests.applications.shop.events import Line, OrderLineRefused, OrderPlace, StockReceive
from tests.support.asked_processes import closing_questions, questions_in_test
from tests.support.memory_server import MemoryServer
from tests.support.other_code import refusing, with_change, without_handler
from tests.support.stored_pasts import forget_schemas
from tests.support.workers import settings
from tests.unit.test_console import BROWSER, page_of
from tests.unit.test_server_errors import assert_problem

OURS = ("as_of", "known", "sort", "limit", "next")
FRONTIER = START + timedelta(hours=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with supplied(tmp_path_factory.mktemp("state")) as server:
        yield server


@contextmanager
def supplied(path: Path) -> Iterator[MemoryServer]:
    """The shop, which received five, an hour later two, and a day later is told of one of the first hour."""
    with MemoryServer(shop.app(), path, answering=True) as server:
        world = server.kafka.world
        for hours, quantity, happened in ((0, 5, 0), (1, 2, 1), (2, 1, 0)):
            world.now = START + timedelta(hours=hours)
            time = START + timedelta(hours=happened, minutes=1)
            server.kafka.publish(
                StockReceive(sku="x", quantity=quantity, price=3), id=f"receive-{hours}", source="depot", time=time
            )
            for number in range(3):
                lines, name = (Line(sku="x", quantity=9),), f"o{hours}{number}"
                order = OrderPlace(order=name, customer=f"c{number}", lines=lines)
                server.kafka.publish(order, id=f"place-{name}", source="shop", time=time + timedelta(seconds=number))
            world.settle()
        server.kafka.show()
        fill(server)
        yield server


def fill(server: MemoryServer) -> None:
    """As the follower's process does."""

    def write(db: object) -> None:
        while fill_high_water(db, to_micros(FRONTIER)):  # type: ignore[arg-type]  # a connection
            pass
        put_frontier(db, to_micros(FRONTIER))  # type: ignore[arg-type]  # as above

    server.kafka.store.completed()
    server.kafka.store.write(write)


def free(server: MemoryServer, **times: object) -> int:
    query = "&".join(f"_{name}={quote(str(time))}" for name, time in times.items())
    found = server.http.get(f"/rows/stock/x?{query}")
    assert found.status_code == 200, found.text
    return int(found.json()["row"]["free"])


def test_a_row_has_two_times(server: MemoryServer) -> None:
    """What had happened, and what was known of it: the late delivery counts from the time on that its shelf had reached."""
    hour, minute = timedelta(hours=1), timedelta(minutes=2)
    assert free(server, as_of=START + minute) == 5
    assert free(server, as_of=START + hour + minute) == 8
    assert free(server, as_of=START + hour + minute, known=START + hour + minute) == 7
    assert free(server, known=START + minute) == 5
    assert free(server, known=FRONTIER) == 8


def test_an_answer_says_what_had_happened_and_is_held_back(server: MemoryServer) -> None:
    """The late delivery, of its row and its table; and what a view has read, but nothing of what it has not."""
    then = START + timedelta(minutes=2)
    late = told(server, "/rows/stock/x", as_of=then)["held_back"]
    assert late["first"]["type"] == "stock.receive"
    assert late["first"]["time"] <= "2026-01-01T00:02:00Z" < late["first"]["counts_from"]
    assert told(server, "/rows/stock", as_of=then)["held_back"] == late
    orders = told(server, "/rows/order", as_of=then)["held_back"]
    assert (orders["events"] > 0, orders["first"]["position"][:6]) == (True, "order-")
    assert told(server, "/views/orders-of/c1", as_of=then)["held_back"] == orders, "it loops over all of them"
    assert told(server, "/projections/orders_per_day", as_of=then)["held_back"] is None
    assert told(server, "/rows/stock/x", as_of=START + timedelta(hours=2))["held_back"] is None
    assert told(server, "/rows/stock/x", known=FRONTIER)["held_back"] is None
    nothing = server.http.get(f"/rows/stock/nothing?_as_of={quote(str(then))}")
    assert (nothing.status_code, nothing.json()["held_back"]) == (404, None)


PROJECTED = "projections/orders_per_day"


@pytest.mark.parametrize("at", ["rows/stock/x", "rows/stock", PROJECTED, f"{PROJECTED}/2026-01-01"])
@pytest.mark.parametrize("with_known", [True, False], ids=["known", "both"])
def test_a_page_says_which_times_it_is_of(server: MemoryServer, at: str, with_known: bool) -> None:
    """Also one that is asked for by the header of an answer, and one whose time is not given."""
    asked = {"_known": "2026-01-01T02:30:00Z"} if with_known else {"_as_of": "2026-01-01t01:30:00z"}
    got = server.http.get(at, params=asked)
    again = {"_as_of": got.headers["Retold-As-Of"]}
    for params in (asked, again):
        page = server.http.get(at, params=params, headers=BROWSER)
        assert page.status_code == 200, page.text
        if not with_known:
            assert "As it was at 2026-01-01 01:30:00 UTC, as known at 2026-01-01 03:00:00 UTC." in page_of(page).text
        else:
            assert "As it was, as known at 2026-01-01 02:30:00 UTC." in page_of(page).text


def test_a_handler_that_is_gone_leaves_its_own_rows_untold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a deployment that has taken one away: the others are told."""
    without = without_handler(shop.app(), OrderLineRefused)
    others = questions_in_test(without, settings(tmp_path, ""), codec_of(without))  # before this process opens the file, too
    with MemoryServer(shop.app(), tmp_path, answering=True) as server, closing_questions(others):
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=3), id="receive", source="depot")
        for name, quantity in (("o1", 1), ("o2", 9)):
            order = OrderPlace(order=name, customer="c", lines=(Line(sku="x", quantity=quantity),))
            server.kafka.publish(order, id=name, source="shop")
        server.kafka.world.settle()
        server.kafka.show()
        fill(server)
        path = f"/rows/order?_known={quote(str(FRONTIER))}"
        whole = {it["key"]: it["row"] for it in server.http.get(path).json()["rows"]}
        assert whole.keys() == {"o1", "o2"}
        monkeypatch.setitem(vars(server.parts), "questions", others)
        found = server.http.get(path)
        assert found.status_code == 200, found.text
        assert {it["key"]: it["row"] for it in found.json()["rows"]} == {"o1": whole["o1"]}
        assert "has no handler for it" in found.json()["unreadable"]["reasons"]["o2"]


def test_an_answer_about_the_past_is_the_same_for_ever(server: MemoryServer) -> None:
    """With both times its ETag stays; without one the answer says which it is."""
    first = server.http.get(f"/rows/stock/x?_as_of={quote(str(START + timedelta(minutes=2)))}")
    known = first.json()["known"]
    again = server.http.get(f"/rows/stock/x?_as_of={quote(first.json()['as_of'])}&_known={quote(known)}")
    assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    headers = {"If-None-Match": first.headers["ETag"]}
    assert server.http.get(str(again.request.url), headers=headers).status_code == 304


def test_what_cannot_be_told_is_a_problem(server: MemoryServer) -> None:
    """A row that was not there yet, a time that is none, and one that may still change."""
    before = quote(str(START - timedelta(days=1)))
    problem = assert_problem(server.http.get(f"/rows/stock/x?_as_of={before}"), 404, "had no row 'x' then")
    assert problem["known"]
    assert_problem(server.http.get("/rows/stock/x?_as_of=yesterday"), 422, "a time with a zone", field="_as_of")
    for beyond in ("_as_of=0001-01-01T00:00:00%2B14:00", "_known=9999-12-31T23:59:59-14:00"):
        got = server.http.get(f"/rows/stock/x?{beyond}")
        assert_problem(got, 422, "a time with a zone", field=beyond.partition("=")[0])
    late = quote(str(FRONTIER + timedelta(seconds=1)))
    got = server.http.get(f"/rows/stock/x?_known={late}")
    assert_problem(got, 503, "what is known for ever here goes to")
    assert got.headers["Retry-After"]


def test_a_schema_that_the_server_has_not_met_is_learnt_from_the_file(server: MemoryServer) -> None:
    """The row is told at once."""
    forget_schemas(server.codec)
    assert free(server, known=FRONTIER) == 8


def told(server: MemoryServer, path: str, **params: object) -> dict[str, Any]:
    found = server.http.get(path, params={f"_{name}" if name in OURS else name: str(it) for name, it in params.items()})
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def pages(server: MemoryServer, path: str, **params: object) -> list[Any]:
    found = told(server, path, **params)
    rows: list[Any] = found["rows"]
    while found["next"] is not None:
        found = told(server, path, **params, next=found["next"])
        rows += found["rows"]
    return rows


@pytest.mark.parametrize("sort", ["_key", "-_key", "placed", "-placed", "-customer"])
@pytest.mark.parametrize("only", [{}, {"customer": "c1"}])
def test_a_table_has_the_order_and_the_filters_of_todays(server: MemoryServer, sort: str, only: dict[str, str]) -> None:
    """As of its end it is today's, in pages of any size; and before that, what there was."""
    query = {"sort": sort, "limit": 2, **only}
    today = pages(server, "/rows/order", **query)
    assert len(today) == (3 if only else 9)
    assert pages(server, "/rows/order", **query, known=FRONTIER) == today
    early = START + timedelta(minutes=30)
    assert pages(server, "/rows/order", **query, as_of=early, known=START + timedelta(hours=1, minutes=-1)) == [
        {**it, "row": then["row"], "version": then["version"]}
        for it in today
        if it["key"].startswith("o0")
        for then in [told(server, f"/rows/order/{it['key']}", known=START + timedelta(hours=1, minutes=-1), as_of=early)]
    ]


@pytest.mark.parametrize(
    "path", ["/rows/stock/x?", "/rows/order?", "/rows/order?_sort=-placed&_limit=2&", "/projections/orders_per_day?",
             "/projections/orders_per_day/2026-01-01?", "/views/orders-of/c1?"]
)  # fmt: skip
def test_with_its_token_an_answer_has_the_same_bytes(server: MemoryServer, path: str) -> None:
    """Also when more is known; its ETag is a strong one."""
    first = server.http.get(f"{path}_known={quote(str(START + timedelta(hours=1, minutes=30)))}")
    assert first.status_code == 200, first.text
    token = first.headers["Retold-As-Of"]
    again = server.http.get(f"{path}_as_of={token}")
    assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])
    assert again.headers["Retold-As-Of"] == token
    assert not again.headers["ETag"].startswith("W/")
    later = server.http.get(f"{path}_known={quote(str(FRONTIER))}")
    assert later.headers["ETag"] != first.headers["ETag"]
    headers = {"If-None-Match": first.headers["ETag"]}
    assert server.http.get(f"{path}_as_of={token}", headers=headers).status_code == 304


def test_a_projection_and_a_view_as_they_were(server: MemoryServer) -> None:
    """Folded, and asked, from what was known."""
    day, known = "/projections/orders_per_day/2026-01-01", START + timedelta(hours=1, minutes=30)
    assert told(server, day, known=known)["row"] == {"count": 6}
    assert told(server, day)["row"] == told(server, day, known=FRONTIER)["row"] == {"count": 9}
    assert pages(server, "/projections/orders_per_day", known=known) == [{"key": "2026-01-01", "row": {"count": 6}}]
    assert [*told(server, "/views/orders-of/c1", known=known)["answer"]] == ["o01", "o11"]
    assert [*told(server, "/views/orders-of/c1", as_of=START - timedelta(days=1))["answer"]] == []
    assert_problem(server.http.get(day, params={"_as_of": "2000-01-01T00:00:00Z"}), 404, "had no row '2026-01-01' then")


@pytest.mark.parametrize(
    "path", ["/rows/order", "/projections/orders_per_day", "/projections/orders_per_day/x", "/views/orders-of/c"]
)
def test_bad_times_are_refused_everywhere(server: MemoryServer, path: str) -> None:
    """With the sentences that a row has."""
    for given, field in (({"_as_of": "no"}, "_as_of"), ({"_known": "2026-01-01"}, "_known"), ({"_as_of": "/"}, "_as_of")):
        assert_problem(server.http.get(path, params=given), 422, "a time with a zone was expected", field=field)
    both = {"_as_of": "/2026-01-01T00:00:00Z", "_known": "2026-01-01T00:00:00Z"}
    assert_problem(server.http.get(path, params=both), 422, "says what was known", field="_known")
    twice = "&".join(["_known=2026-01-01T00:00:00Z"] * 2)
    assert_problem(server.http.get(f"{path}?{twice}"), 422, "given twice", field="_known")
    for future in ({"_known": "2999-01-01T00:00:00Z"}, {"_as_of": "/2999-01-01T00:00:00Z"}):  # nobody can wait for it
        assert_problem(server.http.get(path, params=future), 422, "in the future", field=next(iter(future)))
    late = {"_as_of": f"/{(FRONTIER + timedelta(microseconds=1)).isoformat()}"}
    assert_problem(server.http.get(path, params=late), 503, "what is known for ever here goes to")


def test_what_needs_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not a row, nor a page by keys, which goes on in the next one."""
    monkeypatch.setattr(told_past, "MOST", 8)
    with supplied(tmp_path) as server:
        for path in ("/rows/order?_sort=placed&", "/projections/orders_per_day?", "/projections/orders_per_day/2026-01-01?"):
            assert_problem(server.http.get(f"{path}_known={quote(str(FRONTIER))}"), 422, "more than 8 events")
        assert len(pages(server, "/rows/order", known=FRONTIER)) == 9
        assert free(server, known=FRONTIER) == 8


def test_a_whole_result_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in memory as a whole, unlike its pages; one that has just as many bytes as are told is there."""
    with supplied(tmp_path / "large") as server:
        rows = [it["row"] for it in pages(server, "/rows/order", known=FRONTIER)]
    size = sum(map(len, map(to_json, rows)))
    for most, is_told in ((size, True), (size - 1, False)):
        monkeypatch.setattr(told_past, "MOST_BYTES", most)
        with supplied(tmp_path / str(most)) as server:
            for form in ("ndjson", "csv"):
                found = server.http.get("/rows/order", params={"_known": str(FRONTIER), "_form": form})
                if is_told:
                    assert (found.status_code, found.text.count("\n")) == (200, 9 + (form == "csv"))
                else:
                    assert_problem(found, 422, f"more than {most:,} bytes", "pages, with _limit")
            assert len(pages(server, "/rows/order", known=FRONTIER)) == 9


def test_what_is_behind_the_frontier_is_not_told_and_what_was_erased_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With an event the row from there on, projections that may have folded it, and a view that reads the table."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        for name in ("o1", "o2"):
            server.kafka.publish(OrderPlace(order=name, customer="c", lines=(Line(sku="x", quantity=1),)), id=f"place-{name}")
        server.kafka.world.settle()
        server.kafka.world.now = FRONTIER + timedelta(seconds=1)
        server.kafka.publish(OrderPlace(order="o3", customer="c", lines=(Line(sku="x", quantity=1),)), id="place-o3", time=START)
        fill(server)
        assert [it["key"] for it in told(server, "/rows/order", as_of=START + timedelta(days=9))["rows"]] == ["o1", "o2"]
        assert told(server, "/rows/order", sort="placed", as_of=START + timedelta(days=9))["rows"][2:] == []
        assert told(server, "/projections/orders_per_day", as_of=START + timedelta(days=9))["rows"][0]["row"] == {"count": 2}
        assert told(server, "/views/orders-of/c", as_of=START + timedelta(days=9))["answer"].keys() == {"o1", "o2"}
        found = server.http.get("/rows/order/o1", params={"_known": str(FRONTIER)})
        server.kafka.writer.erase_record("order", 0, 1, "o1")
        server.kafka.commit()
        token = {"_as_of": found.headers["Retold-As-Of"]}
        for path in ("/rows/order/o1", "/projections/orders_per_day", "/views/orders-of/c"):
            assert_problem(server.http.get(path, params=token), 410, "'o1' of order cannot be told", "was erased")
        page = server.http.get("/rows/order", params=token).json()
        left_out = page["unreadable"]
        assert ([it["key"] for it in page["rows"]], left_out["count"], left_out["keys"]) == (["o2"], 1, ["o1"])
        assert "its event with the sequence 1 was erased" in left_out["reasons"]["o1"]
        assert server.http.get("/rows/order/o2", params=token).status_code == 200


class NamedInFolder(set[str]):
    """What is added counts in processes that were there before, too."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def add(self, name: str) -> None:
        (self._folder / name).touch()

    def __contains__(self, name: object) -> bool:
        return (self._folder / str(name)).exists()


def test_rows_that_the_deployed_code_refuses_are_unreadable_and_the_others_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In any order and page, with why; the row alone, and a view that reads the table, are a 409; a projection goes on."""
    folder = tmp_path_factory.mktemp("state")
    refused = NamedInFolder(folder)
    app = with_change(shop.app(), OrderPlace, refusing(refused))
    with MemoryServer(app, folder / "server", answering=True) as server:
        for name in ("o1", "o2", "o3"):
            server.kafka.publish(OrderPlace(order=name, customer="c", lines=(Line(sku="x", quantity=1),)), id=f"place-{name}")
        server.kafka.world.settle()
        fill(server)
        refused.add("o1")  # the stricter fix is deployed
        why = "the row 'o1' of order cannot be told: order.place was accepted as order-0:1, and its handler"
        for options in ({}, {"sort": "placed"}, {"sort": "placed", "limit": 1}, {"limit": 1}):
            page = told(server, "/rows/order", known=FRONTIER, **options)
            assert [it["key"] for it in page["rows"]] == ["o2", "o3"][: options.get("limit", 2)]  # type: ignore[misc]
            assert page["unreadable"] == {"count": 1, "keys": ["o1"], "reasons": {"o1": f"{why} now rejects it (not today)"}}
        for path in ("/rows/order/o1", "/views/orders-of/c"):
            assert_problem(server.http.get(path, params={"_known": str(FRONTIER)}), 409, why, "export the past")
        assert told(server, "/projections/orders_per_day", known=FRONTIER)["rows"][0]["row"] == {"count": 3}
        assert told(server, "/rows/order/o3", known=FRONTIER)["row"]["customer"] == "c"
