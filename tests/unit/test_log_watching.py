"""Event logs and views as event streams, on the address where they are asked for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import Tables, View
from streams.history.recorded_event import NamespacePartition
from streams.server.access.principal import with_every_right
from streams.server.http import logged_events, watched_log
from streams.server.http.shared_stream import Begin
from streams.server.http.views import match
from streams.server.http.watched_log import AskedEvents, WatchedLog
from streams.server.http.watched_view import WatchedView
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.store_readers import OpenedFile, StoreReaders
from tests.applications import shop
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.support.live import STREAM, following
from tests.support.memory_server import MemoryServer
from tests.support.stored_pasts import forget_schemas
from tests.support.tokens import Entry, bearer, write_tokens
from tests.unit.test_server_errors import assert_problem

PRINCIPALS: dict[str, Entry] = {
    "c7": {"read": ["rows/order", "events/order", "views/*"], "only": {"order": "customer={sub}"}},
    "stock": {"read": ["events/stock"]},
}


def fragile(tables: Tables) -> object:
    found = tables.of(shop.stock).get("x")
    return 10 // (5 - found.free) if found else None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    app = shop.app()
    with MemoryServer(replace(app, views=[*app.views, View("fragile", fragile)]), tmp_path, answering=True) as server:
        server.kafka.publish(order(1, "c7"))
        server.kafka.publish(order(2, "c8"))
        yield server


def order(number: int, customer: str) -> OrderPlace:
    return OrderPlace(order=f"o{number}", customer=customer, lines=(Line(sku="A1", quantity=1),))


def positions(events: list[tuple[str, Any]]) -> list[str]:
    return [data["position"] for _, data in events]


def test_the_log_from_the_beginning_and_on(server: MemoryServer) -> None:
    """Each event once and as `/live` tells it, in order, and the new ones behind them."""
    with following(server.http, "/events/order?_from=beginning") as stream:
        first = stream.some(2)
        assert positions(first) == ["order-0:1", "order-0:2"]
        assert (first[0][0], first[0][1]["type"], first[0][1]["data"]["order"]) == ("message", "order.place", "o1")
        server.kafka.publish(OrderCancel(order="o1", why="x"))
        assert positions([stream.next()]) == ["order-0:3"]
        assert stream.id == "order-0:3"


def test_a_stream_of_all_namespaces_goes_on_anywhere(server: MemoryServer, tmp_path: Path) -> None:
    """The place names every partition, so another server continues it."""
    with following(server.http, "/events") as stream:
        begun = stream.begun()
    server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
    server.kafka.publish(OrderCancel(order="o1", why="x"))
    with following(server.http, "/events", Last_Event_ID=begun) as stream:
        found, place = positions(stream.some(2)), stream.id
    assert sorted(found) == sorted({*found})
    assert "order-0:3" in found
    with MemoryServer(server.parts.app, tmp_path / "other") as other:
        other.kafka.take_over(server.kafka)
        with following(other.http, f"/events?_after={place}") as stream:
            assert not {*positions(stream.some(1))} & {*found}


def test_events_are_read_and_written_once_for_all_addresses(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for those that are apart: they meet where a number is a multiple of what is read at a time."""
    monkeypatch.setattr(logged_events, "AT_ONCE", 4)
    read, events = list[int](), ReadModel.events

    def reading(model: ReadModel, at: NamespacePartition, after: int, limit: int, key: str | None = None) -> Any:
        read.append(after)
        return events(model, at, after, limit, key)

    def watching(**asked: Any) -> WatchedLog:
        given = {"key": None, "event_type": None, "outcome": None, "correlation": None} | asked
        return WatchedLog(server.parts, AskedEvents(("order",), principal=with_every_right("x"), **given))

    early = watching()
    server.kafka.publish(order(3, "c7"))
    logs = [watching(), watching(event_type="order.place"), watching(event_type="order.cancel"), early]
    for number in range(4, 13):
        server.kafka.publish(order(number, "c7"))
    monkeypatch.setattr(ReadModel, "events", reading)
    told = [list[Any]() for _ in logs]
    while any(log.is_behind() for log in logs):
        for log, found in zip(logs, told, strict=True):
            found += log.advance().events
    assert read == [3, 2, 4, 8]
    assert [len(it) for it in told] == [9, 9, 0, 10]
    assert all(one.data is two.data for one, two in zip(told[0], told[1], strict=True))
    server.kafka.publish(order(13, "c7"))
    kept = server.parts.new_events
    assert len(logs[0].advance().events) == 1
    assert len(kept._kept) == 1


def test_what_is_kept_of_a_log_ends_with_the_next_change(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of it may have been erased; and what is kept beside it is bounded, however large events are."""
    kept, at = server.parts.new_events, ("order", 0)
    [first, _], upto = kept.behind(at, 0, 2)
    assert (upto, first is kept.behind(at, 0, 2).events[0]) == (2, True)
    server.model.take(FollowerReport(committed=True))
    assert first is not kept.behind(at, 0, 2).events[0]
    monkeypatch.setattr(logged_events, "LARGEST", 10)
    server.model.take(FollowerReport(committed=True))
    assert len(kept.behind(at, 0, 2).events) == 2
    assert (len(kept._kept), kept._size) == (0, 0)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("key=o1", ["order-0:1", "order-0:3", "order-0:4"]),
        ("type=order.cancel", ["order-0:3", "order-0:4"]),
        ("outcome=rejected", ["order-0:4"]),
        ("correlation={id}", ["order-0:1"]),
        ("key=o1&outcome=accepted&type=order.place", ["order-0:1"]),
    ],
)
def test_what_is_asked_for_is_told_alone(server: MemoryServer, query: str, told: list[str]) -> None:
    """By key, type, outcome, and the root event that all follows from."""
    for _ in range(2):
        server.kafka.publish(OrderCancel(order="o1", why="x"))
    query = query.format(id=server.http.get("/events/order?key=o1").json()["events"][-1]["id"])
    with following(server.http, f"/events/order?_from=beginning&{query}") as stream:
        assert positions(stream.some(len(told))) == told


def test_a_client_far_behind_reads_alone_until_it_is_near(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hold up those who watch what is new, and comes to them without a gap."""
    monkeypatch.setattr(watched_log, "NEAR", 2)
    monkeypatch.setattr(logged_events, "AT_ONCE", 3)
    for _ in range(9):
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
    with following(server.http, "/events/stock?_from=beginning") as stream:
        before = positions(stream.some(9))
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        told = [*before, *positions([stream.next()])]
    assert told == sorted({*told}, key=lambda it: int(it.rpartition(":")[2]))


def test_who_reads_a_log_alone_holds_nothing_and_ends_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it reads, others begin; and without the token nothing more of the log is told."""
    monkeypatch.setattr(watched_log, "NEAR", 2)
    monkeypatch.setattr(logged_events, "AT_ONCE", 3)
    reading, go_on, read = threading.Event(), threading.Event(), WatchedLog._read

    def slowly(self: WatchedLog, *given: Any) -> Any:
        reading.set()
        assert go_on.wait(30)
        return read(self, *given)

    tokens = write_tokens(tmp_path / "tokens.toml", PRINCIPALS)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server:
        for _ in range(9):
            server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        monkeypatch.setattr(WatchedLog, "_read", slowly)
        with following(server.http, "/events/stock?_from=beginning", **bearer("stock")) as stream:
            assert reading.wait(30)
            assert server.parts.pools.results_at_once.borrowed_tokens == 0
            write_tokens(tokens, {})
            go_on.set()
            assert len(stream.some(3)) == 3
            with pytest.raises(EOFError):
                stream.next()


def test_a_schema_that_the_server_has_not_met_is_learnt_from_the_file(server: MemoryServer) -> None:
    """As of a worker of newer code: the process that follows Kafka has met it, and a stream would stand still in silence."""
    forget_schemas(server.codec)
    with following(server.http, "/events/order?_from=beginning") as stream:
        assert positions(stream.some(2)) == ["order-0:1", "order-0:2"]


def test_events_that_could_not_be_told_are_told_later(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file could not be read while a client joined, also those that were read before."""
    monkeypatch.setattr(logged_events, "AT_ONCE", 1)
    asked, read, found = AskedEvents(("stock",), None, None, None, None, with_every_right("all")), ReadModel.events, list[str]()
    source, first = WatchedLog(server.parts, asked), server.model.log_position(("stock", 0))
    for _ in range(3):
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))

    def fail(model: ReadModel, at: NamespacePartition, after: int, *given: Any) -> Any:
        if after == first + 1:
            raise sqlite3.OperationalError("disk I/O error")
        return read(model, at, after, *given)

    monkeypatch.setattr(ReadModel, "events", fail)
    with pytest.raises(sqlite3.OperationalError):
        source.join(Begin("now"), ExitStack())
    monkeypatch.setattr(ReadModel, "events", read)
    while source.is_behind():
        found += [event.place for event in source.advance().events]
    assert found == [f"stock-0:{number}" for number in range(first + 1, server.model.log_position(("stock", 0)) + 1)]


def test_a_view_that_could_not_be_read_is_read_again(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Though nothing has changed since: else the answer before would stand until something does."""
    view, names = match(server.parts.app, "orders-of/c7")
    source = WatchedView(server.parts, view, names, with_every_right("all"))
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with monkeypatch.context() as patched:
        patched.setattr(StoreReaders, "opened", lambda _: OpenedFile(str(tmp_path / "empty.sqlite"), 1))
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            source.advance()
    assert source.is_behind()
    assert len(source.advance().events) == 1
    assert not source.is_behind()


@pytest.mark.parametrize(
    ("place", "said"), [("seven", "order-0:7"), ("stock-0:1", "order-0:7"), ("order-0:1,order-1:1", "all of its 1 partitions")]
)
def test_a_place_that_is_none_of_this_stream_is_refused(server: MemoryServer, place: str, said: str) -> None:
    """Silence would follow on it, or a gap."""
    assert_problem(server.http.get(f"/events/order?_after={place}", headers=STREAM), 422, said, field="_after")


def test_a_place_in_another_log_is_refused(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that a server may be behind another one."""
    monkeypatch.setattr("streams.server.http.log_watching.CATCH_UP_TIMEOUT", 0.2)
    server.kafka.tell(lags=[("log", "order", 0, 0, None)])
    got = server.http.get("/events/order", headers={**STREAM, "Last-Event-ID": "order-0:99"})
    assert assert_problem(got, 422, "ends at", field="Last-Event-ID")["type"] == "/-/problems/other-log"


def test_events_are_of_the_rows_and_namespaces_of_the_principal(tmp_path: Path) -> None:
    """With a right to one namespace, `/events` is of that one; and with `only` of keys whose row is there."""
    tokens = write_tokens(tmp_path / "tokens.toml", PRINCIPALS)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server:
        for number, customer in ((1, "c8"), (2, "c7"), (3, "c8"), (4, "c7")):
            server.kafka.publish(order(number, customer))
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        with following(server.http, "/events?_from=beginning", **bearer("c7")) as stream:
            first, sealed, last = stream.next(), stream.id, stream.next()
        assert ([first[1]["key"], last[1]["key"]], "order-0" in sealed) == (["o2", "o4"], False)
        with following(server.http, "/events", Last_Event_ID=sealed, **bearer("c7")) as stream:
            assert stream.next()[1]["key"] == "o4"
        for known in ("order-0:1", f"{sealed}x"):
            got = server.http.get(f"/events?_after={known}", headers={**STREAM, **bearer("c7")})
            assert (got.status_code, "retold-position" in got.headers) == (422, False)
        with following(server.http, "/events?_from=beginning", **bearer("stock")) as stream:
            assert stream.next()[1]["namespace"] == "stock"
        assert server.http.get("/events/order", headers={**STREAM, **bearer("stock")}).status_code == 403


def test_a_view_is_told_whole_when_it_is_otherwise(server: MemoryServer) -> None:
    """At once, then after changes; not if its answer stays the same, nor to who comes back with it."""
    with following(server.http, "/views/orders-of/c7") as stream:
        name, first = stream.next()
        assert (name, first["answer"]) == ("answer", server.http.get("/views/orders-of/c7").json()["answer"])
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        server.kafka.publish(order(5, "c7"))
        assert stream.next()[1]["answer"] == server.http.get("/views/orders-of/c7").json()["answer"] != first["answer"]
        place = stream.id
    with following(server.http, "/views/orders-of/c7", Last_Event_ID=place) as stream:
        server.kafka.publish(order(6, "c7"))
        assert stream.next()[1]["answer"] == server.http.get("/views/orders-of/c7").json()["answer"]


def test_a_view_that_raises_ends_its_stream_with_a_problem(server: MemoryServer) -> None:
    """It is the answer that its address gives now, with that address."""
    with following(server.http, "/views/fragile") as stream:
        assert stream.next()[1]["answer"] is None
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=1))
        name, problem = stream.next()
        assert (name, problem["status"], "fragile raised ZeroDivisionError" in problem["detail"]) == ("problem", 500, True)
        with pytest.raises(EOFError):
            stream.next()
    asked = server.http.get("/views/fragile", headers=STREAM)
    assert (asked.status_code, asked.json()) == (500, problem)
    assert problem["instance"] == "/views/fragile"
