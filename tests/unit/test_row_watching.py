"""Rows as event streams, on the address where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE
from streams.server.readmodel.row_writer import UnreadableRow
from tests.applications import shop
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.support.live import STREAM, Following, following
from tests.support.memory_server import MemoryServer
from tests.support.tokens import Entry, bearer, write_tokens
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

PRINCIPALS: dict[str, Entry] = {
    "c7": {"read": ["rows/order"], "only": {"order": "customer={sub}"}},
    "all": {"read": ["*"]},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path) as server:
        for number, customer in ((1, "c7"), (2, "c8"), (3, "c7")):
            server.kafka.publish(order(number, customer))
        yield server


def order(number: int, customer: str) -> OrderPlace:
    return OrderPlace(order=f"o{number}", customer=customer, lines=(Line(sku="A1", quantity=1),))


def keys(events: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, data.get("key", "")) for name, data in events]


def test_a_snapshot_and_then_changes(server: MemoryServer) -> None:
    """Every row that is asked for, as its list has it; `ready`; and then each change once, with nothing between or twice."""
    listed = server.http.get("/rows/order?customer=c7").json()["rows"]
    with following(server.http, "/rows/order?customer=c7&_from=snapshot") as stream:
        assert stream.some(2) == [("put", row) for row in listed]
        assert stream.next() == ("ready", {"rows": 2})
        server.kafka.publish(order(4, "c8"))
        server.kafka.publish(order(5, "c7"))
        name, data = stream.next()
        assert (name, data) == ("put", server.http.get("/rows/order/o5").json())


def test_a_row_that_leaves_the_query_is_gone(server: MemoryServer) -> None:
    """Once; and one that was never in it is not told of."""
    query = "/rows/order?status=reserving&_select=status&_from=snapshot"
    with following(server.http, query) as stream:
        assert keys(stream.some(4)) == [("put", "o1"), ("put", "o2"), ("put", "o3"), ("ready", "")]
        server.kafka.publish(OrderCancel(order="o2", why="x"))
        assert stream.next() == ("gone", {"key": "o2"})
        server.kafka.publish(OrderCancel(order="o2", why="x"))
        server.kafka.publish(order(4, "c7"))
        name, data = stream.next()
        assert (name, data["key"], data["row"]) == ("put", "o4", {"status": "reserving"})


def test_it_goes_on_where_its_client_was(server: MemoryServer) -> None:
    """By Last-Event-ID or `_after`, and tells each row that has changed since once, as it is now."""
    with following(server.http, "/rows/stock") as stream:
        place = stream.begun()
    for quantity in (1, 2):
        server.kafka.publish(StockReceive(sku="x", quantity=quantity, price=1))
    server.kafka.publish(StockReceive(sku="y", quantity=1, price=1))
    for url, headers in (("/rows/stock", {"Last_Event_ID": place}), (f"/rows/stock?_after={place}&_from=snapshot", {})):
        with following(server.http, url, **headers) as stream:
            assert keys(stream.some(2)) == [("put", "x"), ("put", "y")]
            between = stream.id
    with following(server.http, f"/rows/stock?_after={between}") as stream:
        server.kafka.publish(StockReceive(sku="z", quantity=1, price=1))
        assert keys([stream.next()]) == [("put", "z")]


def test_a_row_that_does_not_read_is_told_as_such(server: MemoryServer) -> None:
    """It is not gone: with the reason that its address gives, when it is changed and when a client begins, and of one row alone."""
    bad = UnreadableRow("nobody here knows the schema id 7")
    told = ("unreadable", {"key": "o2", "problem": "nobody here knows the schema id 7"})
    with following(server.http, "/rows/order?customer=c8&_from=snapshot") as stream:
        assert keys(stream.some(2)) == [("put", "o2"), ("ready", "")]
        place = stream.id
        server.kafka.put_row("order", "o2", bad, 9)
        assert stream.next() == told
        assert told[1]["problem"] in server.http.get("/rows/order/o2").json()["detail"]
    for url in ("/rows/order?customer=c7&_from=snapshot", "/rows/order/o2?_from=snapshot"):
        with following(server.http, url) as stream:
            *_, before, last = stream.some(4 if "customer" in url else 2)
            assert (before, last) == (told, ("ready", {"rows": 2 if "customer" in url else 0, "unreadable": 1}))
            server.kafka.put_row("order", "o2", None, 10)
            assert stream.next() == ("gone", {"key": "o2"})
            server.kafka.put_row("order", "o2", bad, 11)
    with following(server.http, "/rows/order", Last_Event_ID=place) as stream:
        assert stream.next() == told


@pytest.mark.parametrize("place", ["0123456789.3", "anew", "x", "7", ".", "0.0"])
def test_a_place_in_another_file_begins_anew(server: MemoryServer, place: str) -> None:
    """What was told counts no more: `reset`, all rows, `ready`; never silence about what has happened meanwhile."""
    with following(server.http, "/rows/order", Last_Event_ID=place) as stream:
        assert keys(stream.some(5)) == [("reset", ""), ("put", "o1"), ("put", "o2"), ("put", "o3"), ("ready", "")]


def test_rows_that_are_made_again_reset_their_streams(server: MemoryServer) -> None:
    """While the stream is open, too; and it goes on from there."""
    with following(server.http, "/projections/orders_per_day?_from=snapshot") as stream:
        [(_, before), ready] = stream.some(2)
        assert ready == ("ready", {"rows": 1})
        begin = server.kafka.store.begin_rebuild(["orders_per_day"], server.codec, NOTHING_OTHERWISE)
        while begin.step():
            pass
        server.kafka.store.finish_rebuild(begin, server.kafka.writer)
        server.kafka.tell(committed=True)
        assert stream.some(3) == [("reset", {}), ("put", before), ("ready", {"rows": 1})]
        server.kafka.publish(order(9, "c7"))
        assert stream.next() == ("put", server.http.get("/projections/orders_per_day").json()["rows"][0])


def test_a_stream_of_one_row(server: MemoryServer) -> None:
    """Of a namespace and of a projection; others are not told."""
    with following(server.http, "/rows/order/o2?_from=snapshot") as stream:
        assert keys(stream.some(2)) == [("put", "o2"), ("ready", "")]
        server.kafka.publish(OrderCancel(order="o1", why="x"))
        server.kafka.publish(OrderCancel(order="o2", why="x"))
        name, data = stream.next()
        assert (name, data) == ("put", server.http.get("/rows/order/o2").json())
    with following(server.http, "/projections/charges/o1?_from=snapshot") as stream:
        assert keys([stream.next()]) in ([("put", "o1")], [("ready", "")])


def test_clients_of_one_address_share_what_is_read(server: MemoryServer) -> None:
    """Also if one comes later; and nothing is left of it when they have gone."""
    shared = server.parts.shared_streams
    with following(server.http, "/rows/order?customer=c7") as one, following(server.http, "/rows/order?customer=c7") as two:
        assert (one.begun(), two.begun(), len(shared)) == (one.id, one.id, 1)
        server.kafka.publish(order(4, "c7"))
        assert one.next() == two.next()
        with following(server.http, "/rows/order?customer=c8"):
            assert len(shared) == 2
        with following(server.http, "/rows/order?customer=c7&_from=snapshot") as three:
            assert keys(three.some(4))[-1] == ("ready", "")
            server.kafka.publish(order(5, "c7"))
            assert one.next() == two.next() == three.next()
            assert one.id == three.id
    until(lambda: len(shared) == 0 and not server.parts.watching, "a stream is left")


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("_limit=5", 422, "a stream has none"), ("_next=x", 422, "a stream has none"), ("_sort=placed", 422, "has none"),
        ("_as_of=2026-01-01T00:00:00Z", 422, "has none"), ("_from=beginning", 422, "now or snapshot"), ("totl=5", 422, "totl"),
        ("_from=now&_from=now", 422, "twice"), ("total__gte=x", 422, "whole number"),
    ],
)  # fmt: skip
def test_what_a_stream_does_not_take_is_said_before_it_begins(server: MemoryServer, query: str, status: int, said: str) -> None:
    """As a problem, and not as a stream that would end at once."""
    field = query.partition("=")[0]
    assert_problem(server.http.get(f"/rows/order?{query}", headers=STREAM), status, said, field=field)


def test_a_stream_looks_for_its_rows_no_longer_than_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with the index to declare: few threads look for rows, and pages need them, too."""
    monkeypatch.setattr("streams.server.readmodel.query_limit.STEPS", 1)
    with MemoryServer(shop.app(), tmp_path, query_seconds="0.001") as server:
        server.kafka.writer._db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
            "insert into r_order(key, version, body, f_total) select 'k' || i, 1, '{}', i from n"
        )
        for begin in ("now", "snapshot"):
            with server.http.stream("GET", f"/rows/order?total__gte=5&_from={begin}", headers=STREAM) as got:
                assert got.status_code == 503  # a stream would never end
                got.read()
                assert_problem(got, 503, 'declare indexes=["total"]')


def test_other_answers_are_as_they_were(server: MemoryServer) -> None:
    """Only who names event streams gets one, and HEAD would never end."""
    for accept in ("*/*", "application/json", "text/event-stream;q=0.1, application/json", "text/event-stream;q=0"):
        assert server.http.get("/rows/order", headers={"Accept": accept}).headers["content-type"] == "application/json"
    assert server.http.head("/rows/order", headers=STREAM).status_code == 405
    assert server.http.get("/rows/nowhere", headers=STREAM).status_code == 404


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[MemoryServer]:
    tokens = write_tokens(tmp_path / "tokens.toml", PRINCIPALS)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens), http_streams="2", answering=True) as server:
        for number, customer in ((1, "c7"), (2, "c8")):
            server.kafka.publish(order(number, customer))
        yield server


def mine(server: MemoryServer, url: str, **headers: str) -> Any:
    return following(server.http, url, **bearer("c7"), **headers)


def test_a_stream_has_the_rows_of_its_principal_alone(guarded: MemoryServer) -> None:
    """A row that becomes another's is gone, one that never was its own is not told of, and places tell no numbers."""
    row = guarded.kafka.world.table(shop.order)["o1"]
    with mine(guarded, "/rows/order?_from=snapshot") as stream:
        assert keys(stream.some(2)) == [("put", "o1"), ("ready", "")]
        guarded.kafka.publish(order(3, "c8"))
        guarded.kafka.put_row("order", "o2", row_of(row, customer="c9"), 50)
        guarded.kafka.put_row("order", "o1", row_of(row, customer="c8"), 51)
        assert stream.next() == ("gone", {"key": "o1"})
        guarded.kafka.put_row("order", "o1", row_of(row, customer="c7"), 52)
        assert keys([stream.next()]) == [("put", "o1")]
        assert stream.id == "anew"


def test_who_sees_some_rows_begins_anew_after_a_break(guarded: MemoryServer) -> None:
    """Nobody knows any more which rows it had: to say of all others that they are gone would tell of them."""
    with following(guarded.http, "/rows/order", **bearer("all")) as stream:
        place = stream.begun()
    for known in ("anew", place):
        with mine(guarded, "/rows/order", Last_Event_ID=known) as stream:
            assert keys(stream.some(3)) == [("reset", ""), ("put", "o1"), ("ready", "")]


@pytest.mark.parametrize(
    "url",
    ["/rows/order", "/projections/orders_per_day", "/views/orders-of/c7", "/events", "/events/order", "/live/order", "/live"],
)  # fmt: skip
def test_every_stream_ends_when_its_token_is_revoked(guarded: MemoryServer, tmp_path: Path, url: str) -> None:
    """While it is open and nothing happens; what happens from then on is not told."""
    with following(guarded.http, url, **bearer("all")) as stream:
        if url == "/live":
            stream.next()  # it begins with where everything stands
        until(lambda: len(guarded.parts.watching) == 1, "it is not open")
        write_tokens(tmp_path / "tokens.toml", {"c7": PRINCIPALS["c7"]})
        until(lambda: not guarded.parts.watching, "it is left open")
        guarded.kafka.publish(order(5, "c7"))
        told = list(iter_of(stream))
    assert not any("o5" in str(data) for _, data in told)


def iter_of(stream: Following) -> Iterator[tuple[str, Any]]:
    """Until it ends."""
    while True:
        try:
            yield stream.next()
        except EOFError:
            return


def test_streams_are_counted_and_end_with_the_token(guarded: MemoryServer, tmp_path: Path) -> None:
    """At the limit the next one is refused; without the token nothing is told any more, and room is made."""
    with mine(guarded, "/rows/order") as stream, mine(guarded, "/rows/order/o1") as other:
        refused = guarded.http.get("/rows/order", headers={**STREAM, **bearer("c7")})
        assert_problem(refused, 429, "2 streams")
        write_tokens(tmp_path / "tokens.toml", {"all": PRINCIPALS["all"]})
        for each in (stream, other):
            with pytest.raises(EOFError):
                each.next()
    until(lambda: not guarded.parts.watching, "a stream is left")


def row_of(row: Any, **changes: object) -> Any:
    return type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | changes)
