"""A principal that sees some rows alone, and publishes some data alone: `only` and `publish_only`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import App, Tables, View
from streams.config import Config, load
from streams.errors import ConfigError
from streams.query.filters import hold
from streams.server.access.principals import Principals
from streams.server.access.seal import Seal
from streams.server.access.token_conditions import conditions_of
from streams.server.http.live import STOP
from streams.server.http.stream_places import ID, StreamPlaces
from streams.server.readmodel.row_writer import UnreadableRow
from tests.applications import shop
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, OrderRow
from tests.support.live import following
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.support.tokens import Entry, bearer, write_tokens
from tests.unit.test_server_errors import assert_problem

PRINCIPALS: dict[str, Entry] = {
    "c7": {
        "publish": ["order.*"], "read": ["*"], "only": {"order": "customer = {sub}", "charges": "_key={sub}"},
        "publish_only": {"order.place": "customer={sub}"},
    },
    "shop7": {"publish": ["order.place"], "publish_only": {"order.place": "customer=c7"}},
    "all": {"publish": ["*"], "read": ["*"]},
}  # fmt: skip
MINE, ALL_OF = bearer("c7"), bearer("all")


def customers(tables: Tables) -> object:
    """Whatever a view can ask of a table."""
    rows = tables.of(shop.order)
    return {
        "keys": sorted(rows), "count": len(rows), "values": sorted(it.customer for it in rows.values()),
        "found": sorted(rows.where(status__in=["reserving", "paying"])), "o2": rows.get("o2") is not None, "has": "o2" in rows,
    }  # fmt: skip


def application() -> App:
    app = shop.app()
    return replace(app, views=[*app.views, View("customers", customers)])


def order(number: int, customer: str) -> OrderPlace:
    return OrderPlace(order=f"o{number}", customer=customer, lines=(Line(sku="A1", quantity=1),))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    folder = tmp_path_factory.mktemp("state")
    tokens = write_tokens(folder / "tokens.toml", PRINCIPALS)
    with MemoryServer(application(), folder / "state", http_tokens=str(tokens), answering=True) as server:
        for number, customer in ((1, "c7"), (2, "c8"), (3, "c7"), (4, "c8")):
            server.kafka.publish(order(number, customer))
        yield server


def keys(got: httpx.Response) -> list[str]:
    assert got.status_code == 200, got.text
    return [it["key"] for it in got.json()["rows"]]


def cursor_with_key(next_: str, key: str) -> str:
    """The `next` of a page, changed by hand so that it begins behind another key."""
    digest, *_ = json.loads(base64.urlsafe_b64decode(next_ + "=" * (-len(next_) % 4)))
    return base64.urlsafe_b64encode(json.dumps([digest, key]).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query", ["", "?customer=c8", "?customer__ne=c7", "?_key__in=o1,o2", "?_sort=-placed", "?_limit=1", "?_key__gte=o2"]
)
def test_a_list_has_the_rows_of_the_principal_alone(server: MemoryServer, query: str) -> None:
    """Whatever is asked; with a page after it."""
    got = server.http.get(f"/rows/order{query}", headers=MINE)
    assert set(keys(got)) == set(keys(server.http.get(f"/rows/order{query}", headers=ALL_OF))) & {"o1", "o3"} or "_limit" in query
    if following := got.json()["next"]:
        assert keys(server.http.get(f"/rows/order?_limit=1&_next={following}", headers=MINE)) == ["o3"]
        changed = cursor_with_key(following, "o1")
        assert keys(server.http.get(f"/rows/order?_limit=1&_next={changed}", headers=MINE)) == ["o3"]


def test_counts_facets_and_whole_results_are_of_its_rows(server: MemoryServer) -> None:
    """A number would tell of others, too."""
    got = server.http.get("/rows/order?_count=exact&_facet=customer&_limit=0", headers=MINE).json()
    assert (got["count"], got["facets"]) == (2, {"customer": [{"value": "c7", "count": 2}]})
    text = server.http.get("/rows/order?_form=ndjson", headers=MINE).text
    assert [json.loads(line)["key"] for line in text.splitlines()] == ["o1", "o3"]
    assert "c8" not in server.http.get("/rows/order?_form=csv", headers=MINE).text
    assert {it["name"]: it["rows"] for it in server.http.get("/rows", headers=MINE).json()["tables"]}["order"] is None
    [order] = [it for it in server.http.get("/", headers=MINE).json()["namespaces"] if it["name"] == "order"]
    assert {name for name, it in order.items() if it is not None} == {"name", "handles", "calls_for"}


def test_a_row_of_somebody_else_is_a_404(server: MemoryServer) -> None:
    """The same as of a key that there is not, also for who knows its ETag."""
    assert server.http.get("/rows/order/o1", headers=MINE).status_code == 200
    assert_problem(server.http.get("/rows/order/o2", headers=MINE), 404, "has no row 'o2'")
    etag = server.http.get("/rows/order/o2", headers=ALL_OF).headers["etag"]
    got = server.http.get("/rows/order/o2", headers={**MINE, "If-None-Match": etag})
    assert (got.status_code, "etag" in got.headers) == (404, False)
    assert_problem(server.http.get("/projections/charges/o2", headers=MINE), 404, "has no row 'o2'")
    assert keys(server.http.get("/projections/charges", headers=MINE)) == []


def test_a_view_reads_its_rows_alone(server: MemoryServer) -> None:
    """Whichever way it asks for them, and also if the address names another customer."""
    assert server.http.get("/views/customers", headers=MINE).json()["answer"] == {
        "keys": ["o1", "o3"], "count": 2, "values": ["c7", "c7"], "found": ["o1", "o3"], "o2": False, "has": False,
    }  # fmt: skip
    theirs = server.http.get("/views/orders-of/c8", headers=ALL_OF).json()["answer"]
    assert server.http.get("/views/orders-of/c8", headers=MINE).json()["answer"] != theirs


def test_events_are_of_its_rows_alone(server: MemoryServer) -> None:
    """In lists, outcomes and streams; what waits is left out, since its row may not be there yet."""
    listed = server.http.get("/events/order", headers=MINE).json()["events"]
    assert {it["key"] for it in listed} == {"o1", "o3"}
    named = server.http.get("/events/order?key=o2", headers=MINE).json()["events"]
    assert named == []
    places = {it.key: it.offset for it in server.kafka.receipts.values() if it.namespace == "order"}
    assert server.http.get(f"/events/order/0/{places['o1']}", headers=MINE).status_code == 200
    assert_problem(server.http.get(f"/events/order/0/{places['o2']}", headers=MINE), 404, "holds no event")
    assert server.http.get("/waiting/timers", headers=MINE).json()["timers"] == []
    assert_problem(server.http.get("/waiting/timers?namespace=order", headers=MINE), 403, "without `only`")


def test_outcomes_are_of_what_one_may_publish_oneself(server: MemoryServer) -> None:
    """Of others of its type the key and the reason would be told; one's own is told also if its row is not there."""
    at = {it.key: it.offset for it in reversed(server.kafka.receipts.values()) if it.event_type == "order.place"}
    for headers in (bearer("shop7"), MINE):
        assert server.http.get(f"/events/order/0/{at['o1']}", headers=headers).json()["key"] == "o1"
        assert_problem(server.http.get(f"/events/order/0/{at['o2']}", headers=headers), 404, "holds no event")
        assert server.http.get("/events/order/0/777", headers=headers).status_code == 404
    rejected = server.kafka.publish(order(2, "c7"))
    assert server.http.get(f"/events/order/0/{rejected.offset}", headers=MINE).json()["outcome"] == "rejected"


def test_a_page_of_events_is_cut_after_others_are_left_out(server: MemoryServer) -> None:
    """A `next` that was made of an event of another row would tell its time and its number."""
    none, hidden = (server.http.get(f"/events/order?key={key}&_limit=1", headers=MINE).json() for key in ("o99", "o2"))
    assert (hidden["events"], hidden["next"]) == (none["events"], none["next"]) == ([], None)
    found, following = list[str](), ""
    while following is not None:
        place = f"&_next={following}" if following else ""
        page = server.http.get(f"/events/order?_limit=1{place}", headers=MINE).json()
        [event] = page["events"]
        found, following = [*found, event["position"]], page["next"]
    whole = server.http.get("/events/order", headers=ALL_OF).json()["events"]
    assert found == [it["position"] for it in whole if it["key"] in ("o1", "o3")]


def test_a_stream_is_of_its_rows_alone_and_keeps_its_place(server: MemoryServer) -> None:
    """Each event's id is a place to go on from, also behind events that were left out."""
    [(first, one), (second, other)] = watched(server.http, "/live/order?_from=beginning", 2, **MINE)
    assert {one["key"], other["key"]} <= {"o1", "o3"}
    [(_, again)] = watched(server.http, "/live/order", 1, **MINE, **{"Last-Event-ID": first})
    assert again == other
    server.kafka.publish(OrderCancel(order="o2", why="lost"))
    server.kafka.publish(OrderCancel(order="o1", why="lost"))
    [(_, last)] = watched(server.http, "/live/order", 1, **MINE, **{"Last-Event-ID": second})
    assert last["key"] != "o2"


def test_a_place_in_a_stream_does_not_tell_what_happens_to_other_rows(server: MemoryServer) -> None:
    """Its id has no number in it, and is another one each time; who made one up, or has somebody else's, is refused."""

    def begun(headers: dict[str, str]) -> tuple[str, httpx.Headers]:
        with server.http.stream("GET", "/live/order", headers=headers) as stream:
            return next(line for line in stream.iter_lines() if line.startswith("id: "))[4:], stream.headers

    (mine, headers), (again, _), (whole, others) = begun(MINE), begun(MINE), begun(ALL_OF)
    assert (ID.fullmatch(whole) is not None, ID.fullmatch(mine)) == (True, None)
    assert (mine == again, len(mine) == len(again)) == (False, True)
    assert ("retold-position" in headers, "retold-lag" in headers, "retold-position" in others) == (False, False, True)
    for wrong in (whole, f"{mine[:-1]}{'B' if mine[-1] == 'A' else 'A'}", mine.swapcase(), ""):
        got = server.http.get("/live/order", headers={**MINE, "Last-Event-ID": wrong})
        body = assert_problem(got, 422, "from a server with the same secret", field="Last-Event-ID")
        assert "partition" not in body["detail"]
    assert_problem(server.http.get("/live/order", headers={**ALL_OF, "Last-Event-ID": mine}), 422, field="Last-Event-ID")
    assert_problem(server.http.get("/live/charges", headers={**MINE, "Last-Event-ID": mine}), 404)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.text(), st.text())
def test_what_is_sealed_is_opened_for_the_same_alone(text: str, about: str, other: str) -> None:
    """By whoever has the secret; any other character in it is seen."""
    seal = Seal(b"secret", "test")
    sealed = seal.sealed(text, about)
    assert Seal(b"secret", "test").opened(sealed, about) == text
    assert other == about or seal.opened(sealed, other) is None
    assert (Seal(b"others", "test").opened(sealed, about), Seal(b"secret", "other").opened(sealed, about)) == (None, None)
    assert seal.opened(("B" if sealed[0] == "A" else "A") + sealed[1:], about) is None
    assert seal.opened(other, about) is None


def test_changes_are_told_with_the_positions_that_one_may_see(server: MemoryServer) -> None:
    """The number of events in other logs, and in one of which some rows are hidden, is not told."""

    def told(headers: dict[str, str]) -> set[str]:
        with server.http.stream("GET", "/live", headers=headers) as stream:
            line = next(line for line in stream.iter_lines() if line.startswith("data: "))
        return {it.partition("-")[0] for it in json.loads(line[6:])["positions"]}

    assert (told(MINE), told(bearer("shop7")), told(ALL_OF)) == ({"stock", "payment"}, set(), {"order", "stock", "payment"})


def test_an_event_is_told_when_its_row_is_here(server: MemoryServer) -> None:
    """The log may be read before the table: its event would be left out for good."""
    markers, at = server.model.markers, ("order", 0)
    server.kafka.publish(order(9, "c7"))
    later, (row, version) = server.model.markers, server.kafka.world.image("order").rows["o9"]
    server.kafka.put_row("order", "o9", None, version)
    server.model.markers = markers
    principal = server.parts.principals.named("c7")
    assert principal is not None
    place = StreamPlaces([at], principal, server.parts.console_secret).text({at: markers[at].last})
    headers = {**MINE, "Last-Event-ID": place}
    with server.http.stream("GET", "/live/order/o9", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(("id", "retry"))
        time.sleep(2 * STOP)
        server.model.markers = later
        server.kafka.put_row("order", "o9", row, version)
        assert any('"o9"' in line for line in takewhile(lambda line: not line.startswith(":"), lines)), "nothing but a comment came"


@pytest.mark.parametrize(
    "url", ["/rows/order", "/rows/order/o1", "/projections/charges", "/projections/charges/o1", "/views/customers"]
)
def test_the_past_of_such_rows_is_not_told(server: MemoryServer, url: str) -> None:
    """Then they may have been somebody else's; nor are stories, which tell of all namespaces."""
    assert server.http.get(f"{url}?_as_of=2020-01-01T00:00:00Z", headers=ALL_OF).status_code == 503, "nothing is known for ever"
    assert_problem(server.http.get(f"{url}?_as_of=2020-01-01T00:00:00Z", headers=MINE), 403, "at another time")
    assert_problem(server.http.get("/rows/order/o1/story", headers=MINE), 403, "read *")
    assert_problem(server.http.post("/what-if", json={"remove": ["order-0:1"]}, headers=MINE), 403, "read *")


def test_rows_that_do_not_read_are_nobodys(server: MemoryServer) -> None:
    """Nobody can say whose they are: they are neither named nor counted."""
    server.kafka.put_row("order", "o99", UnreadableRow("no such schema"), 1)
    try:
        got = server.http.get("/rows/order", headers=MINE).json()
        assert got["unreadable"] == {"count": 0, "keys": []}
        assert server.http.get("/rows/order", headers=ALL_OF).json()["unreadable"]["count"] == 1
        assert server.http.get("/rows/order/o99", headers=MINE).status_code == 404
        with following(server.http, "/rows/order?_from=snapshot", **MINE) as stream:
            told = [*iter(stream.next, ("ready", {"rows": len(got["rows"])}))]
        assert {name for name, _ in told} == {"put"}
    finally:
        server.kafka.put_row("order", "o99", None, 2)


def test_data_of_somebody_else_may_not_be_published(server: MemoryServer) -> None:
    """One by one or in a batch; an event without a condition may have any data."""
    def data(customer: str, number: int) -> dict[str, Any]:
        return {"order": f"o{number}", "customer": customer, "lines": [{"sku": "A1", "quantity": 1}]}

    before = len(server.kafka.published)
    refused = server.http.post("/events/order.place", json=data("c8", 50), headers=MINE)
    assert_problem(refused, 403, "publish_only", "customer")
    lines = "\n".join(json.dumps({"type": "order.place", "data": data(name, at)}) for name, at in (("c7", 51), ("c8", 52)))
    headers = {**MINE, "Content-Type": "application/x-ndjson"}
    assert server.http.post("/events", content=lines, headers=headers).status_code == 403
    assert len(server.kafka.published) == before
    got = server.http.post("/events?_bad=skip", content=lines, headers=headers).text.splitlines()
    assert [json.loads(line)["status"] for line in got] == [202, 403]
    assert server.http.post("/events/order.place", json=data("c7", 53), headers=MINE).status_code == 202
    assert server.http.post("/events/order.expire", json={"order": "o53"}, headers=MINE).status_code == 202


def test_the_version_of_somebody_elses_row_is_not_told(server: MemoryServer) -> None:
    """Nor can it be guessed, one by one or in a batch; of a key without a row the same is said."""
    def cancelling(key: str, **headers: str) -> httpx.Response:
        wait = {"Prefer": "wait=5", **MINE, **headers}
        return server.http.post("/events/order.cancel", json={"order": key, "why": "late"}, headers=wait)

    there = server.http.get("/rows/order/o4", headers=ALL_OF).headers["etag"]
    for headers in ({"If-Match": '"99"'}, {"If-Match": there}, {"If-None-Match": "*"}):
        assert_problem(cancelling("o4", **headers), 412, "no row that you may see")
    assert_problem(cancelling("o98", **{"If-Match": '"99"'}), 412, "no row that you may see")
    assert "no row" not in cancelling("o3", **{"If-Match": '"99"'}).text, "its own row's version is told"
    event = {
        "specversion": "1.0", "source": "test", "type": "order.cancel", "data": {"order": "o4", "why": "late"},
        "expectedversion": 7,
    }  # fmt: skip
    headers = {**MINE, "Content-Type": "application/cloudevents-batch+json", "Prefer": "wait=5"}
    events = [{**event, "id": "a"}, {**event, "id": "b", "data": {"order": "o98", "why": "late"}}]
    got = server.http.post("/events?_bad=skip", content=json.dumps(events), headers=headers).text.splitlines()
    assert [json.loads(line)["status"] for line in got] == [412, 412], got
    assert not [line for line in got if "no row that you may see" not in line]
    assert server.http.get("/rows/order/o4", headers=ALL_OF).headers["etag"] == there


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"only": {"orders": "customer={sub}"}}, ["'orders'", "order"]),
        ({"only": {"order": "costumer={sub}"}}, ["'costumer'", "customer", "only, order"]),
        ({"only": {"order": "customer"}}, ["'customer'", "as in an address"]),
        ({"only": {"order": ""}}, ["''", "as in an address"]),
        ({"only": {"order": "customer__in={sub}"}}, ["{sub} alone"]),
        ({"only": {"order": "customer=c{sub}"}}, ["{sub} alone"]),
        ({"only": {"order": "customer=a&customer=b"}}, ["'customer' twice"]),
        ({"only": {"order": "total={sub}"}}, ["'total'", "a whole number"]),
        ({"only": {"order": "customer={sub}"}, "operate": ["*"]}, ["may operate or correct order"]),
        ({"publish_only": {"order.plaice": "customer={sub}"}}, ["order.plaice", "order.place"]),
        ({"publish_only": {"order.place": "total=1"}}, ["'total'", "publish_only, order.place"]),
    ],
)
def test_a_condition_that_says_nothing_is_refused(tmp_path: Path, entry: Entry, words: list[str]) -> None:
    """A misspelt one would leave everything to be seen."""
    config: Config = replace(load({}, tmp_path), http_tokens=write_tokens(tmp_path / "tokens.toml", {"web": entry}))
    with pytest.raises(ConfigError) as caught:
        Principals(config, shop.app())
    assert [word for word in words if word not in str(caught.value)] == []


@given(st.text(min_size=1), st.text())
def test_a_subject_is_compared_and_nothing_else(subject: str, customer: str) -> None:
    """Whatever is in it: it adds no condition, takes none away, and matches itself alone."""
    row = OrderRow(customer=customer, status="paying", placed=None, waiting=0, total=0, held={})  # type: ignore[arg-type]  # no time is compared
    found = conditions_of("customer={sub}&status=paying", OrderRow, subject, "here")
    assert hold(found, "o1", row) == (customer == subject)
    assert len(found) == 2
