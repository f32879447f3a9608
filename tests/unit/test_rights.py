"""Who may do what over HTTP: every route, asked by every principal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from starlette.routing import Mount

from streams.server.http.application import http_app
from streams.server.http.route_index import RouteIndex
from streams.server.http.route_table import PUBLISHING, ROUTES
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge
from tests.support.memory_server import MemoryServer
from tests.support.tokens import Entry, bearer, token_of, write_tokens
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

OWN = "correct-horse-battery"
PRINCIPALS: Mapping[str, Entry] = {
    "web": {"publish": ["order.place", "order.cancel"], "read": ["rows/order", "views/orders-of"]},
    "reader": {"read": ["rows/*", "events/order", "projections/orders_per_day"]},
    "operator": {"operate": ["order"]},
    "corrector": {"correct": ["order", "stock"]},
    "auditor": {"read": ["*"]},
    "publisher": {"publish": ["order.*"]},
    "probe": {"admin": True},
    "nothing": {},
}
ALL = "own web reader operator corrector auditor publisher probe nothing"
"""`own` is the holder of RETOLD_HTTP_TOKEN."""


class Asked(NamedTuple):
    """How a route is asked, and who is not refused: names with spaces between."""

    url: str
    allowed: str
    body: object = None


ORDER = {"order": "o9", "customer": "c7", "lines": [{"sku": "A1", "quantity": 1}]}
REGISTRY = ("/schemas/ids/1", "/schemas/ids/1/schema", "/schemas/ids/1/versions", "/schemas/types", "/config", "/subjects")
ASKED: Mapping[str, Asked] = {
    "GET /": Asked("/", ALL),
    "GET /openapi.json": Asked("/openapi.json", ALL),
    "GET /asyncapi.json": Asked("/asyncapi.json", ALL),
    "GET /app": Asked("/app", f"{ALL} stranger"),
    "GET /favicon.ico": Asked("/favicon.ico", f"{ALL} stranger"),
    "POST /events": Asked("/events", "own web publisher", {"type": "order.place", "data": ORDER}),
    f"POST {PUBLISHING}": Asked("/events/order.place", "own web publisher", ORDER),
    "POST /what-if": Asked("/what-if", "own auditor", {"remove": ["order-0:1"]}),
    "POST /corrections": Asked("/corrections", "own corrector", {"why": "a test", "remove": ["nothing"]}),
    "GET /corrections": Asked("/corrections", "own corrector"),
    "GET /corrections/calls": Asked("/corrections/calls", "own corrector"),
    "POST /corrections/calls/{request:rest}/close": Asked("/corrections/calls/c9/close", "own corrector", {"why": "a test"}),
    "GET /corrections/{correction}": Asked("/corrections/c9", "own corrector"),
    "POST /corrections/{correction}/apply": Asked("/corrections/c9/apply", "own corrector", {}),
    "POST /corrections/{correction}/withdraw": Asked("/corrections/c9/withdraw", "own corrector", {}),
    "GET /events": Asked("/events", "own reader auditor"),
    "GET /events/{namespace}": Asked("/events/order", "own reader auditor"),
    "GET /events/{event:rest}/story": Asked("/events/order-0:1/story", "own auditor"),
    "GET /events/{namespace}/{partition}/{offset}": Asked("/events/order/0/0", "own web reader auditor publisher"),
    "GET /rows": Asked("/rows", ALL),
    "GET /rows/{namespace}": Asked("/rows/order", "own web reader auditor"),
    "GET /rows/{namespace}/{key:rest}": Asked("/rows/order/o1", "own web reader auditor"),
    "GET /rows/{namespace}/{key:rest}/story": Asked("/rows/order/o1/story", "own auditor"),
    "GET /projections": Asked("/projections", ALL),
    "GET /projections/{name}": Asked("/projections/orders_per_day", "own reader auditor"),
    "GET /projections/{name}/{key:rest}": Asked("/projections/orders_per_day/x", "own reader auditor"),
    "GET /views/{path:rest}": Asked("/views/orders-of/c7", "own web auditor"),
    "GET /parked": Asked("/parked", "own operator"),
    "GET /parked/{namespace}/{partition}/{place}": Asked("/parked/order/0/9", "own operator"),
    "POST /parked/{namespace}/{partition}/{place}/{decision}": Asked("/parked/order/0/9/retry", "own operator", {}),
    "GET /waiting/timers": Asked("/waiting/timers", "own reader auditor"),
    "GET /waiting/calls": Asked("/waiting/calls", "own reader auditor"),
    "GET /live": Asked("/live", ALL),
    "GET /live/{namespace}": Asked("/live/order", "own reader auditor"),
    "GET /live/{namespace}/{key:rest}": Asked("/live/order/o1", "own reader auditor"),
    "GET /-/live": Asked("/-/live", f"{ALL} stranger"),
    "GET /-/ready": Asked("/-/ready", f"{ALL} stranger"),
    "GET /-/health": Asked("/-/health", f"{ALL} stranger"),
    "GET /-/status": Asked("/-/status", "own probe"),
    "GET /-/metrics": Asked("/-/metrics", "own probe"),
    "GET /-/problems": Asked("/-/problems", ALL),
    "GET /-/problems/{name}": Asked("/-/problems/missing-right", ALL),
    **{f"GET {url.replace('/1', '/{schema_id}')}": Asked(url, ALL) for url in REGISTRY},
    "GET /subjects/{subject}/versions": Asked("/subjects/order.place/versions", ALL),
    "GET /subjects/{subject}/versions/{version}": Asked("/subjects/order.place/versions/1", ALL),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    folder = tmp_path_factory.mktemp("state")
    tokens = write_tokens(folder / "tokens.toml", PRINCIPALS)
    site = folder / "site"
    site.mkdir()
    with MemoryServer(shop.app(), folder / "state", OWN, http_tokens=str(tokens), site=str(site), answering=True) as server:
        server.kafka.publish(PaymentCharge(order="o0", amount=5))
        server.kafka.publish(OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=1),)))
        yield server


def shown(name: str) -> dict[str, str]:
    """The headers of a request of this principal."""
    return {} if name == "stranger" else {"Authorization": f"Bearer {OWN}"} if name == "own" else bearer(name)


def status_of(http: httpx.Client, method: str, asked: Asked, headers: Mapping[str, str]) -> httpx.Response:
    """The head of the answer; of a stream no more is read."""
    kind = {"Content-Type": "application/x-ndjson"} if asked.url == "/events" and method == "POST" else {}
    with http.stream(method, asked.url, headers={**headers, **kind}, json=asked.body) as got:
        if "event-stream" not in got.headers.get("content-type", ""):
            got.read()
        return got


@pytest.mark.parametrize("principal", [*ALL.split(), "stranger", "forger"])
@pytest.mark.parametrize("route", ASKED)
def test_each_principal_comes_to_the_routes_that_it_has_a_right_to(server: MemoryServer, route: str, principal: str) -> None:
    """Everybody else hears 403 with the right that is missing, and who is not known 401, which tells nothing."""
    method, asked = route.partition(" ")[0], ASKED[route]
    got = status_of(server.http, method, asked, shown(principal))
    is_open = "stranger" in asked.allowed
    if principal in ("stranger", "forger") and not is_open:
        body = assert_problem(got, 401, "Authorization")
        assert (body.keys(), "order" in body["detail"]) == ({"type", "title", "status", "detail", "instance"}, False)
    elif principal in asked.allowed.split() or is_open:
        assert got.status_code not in (401, 403), got.text
    else:
        assert got.status_code == 403
        assert got.json()["type"] == "/-/problems/missing-right"
        assert (principal in got.json()["detail"], "is missing" in got.json()["detail"]) == (True, True)


@pytest.mark.parametrize("url", ["/rows/order?_form=ndjson", "/live/order/o1"])
def test_a_token_in_the_address_counts_for_nothing(server: MemoryServer, url: str) -> None:
    """It would stand in logs and in histories of browsers."""
    query = "&" if "?" in url else "?"
    assert server.http.get(f"{url}{query}token={token_of('auditor')}").status_code == 401


def test_every_route_is_asked_here() -> None:
    """A new one has its right in the table of routes, and whom that lets in is said here."""
    assert [f"{it.method} {it.path}" for it in ROUTES if f"{it.method} {it.path}" not in ASKED] == []
    assert len(ASKED) == len(ROUTES)


def test_the_openapi_says_which_right_is_missing(server: MemoryServer) -> None:
    """Of every operation that needs one, in the words of the refusal."""
    spec = server.http.get("/openapi.json", headers=shown("nothing")).json()
    told = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            at = path.replace("{partition}", "0").replace("{decision}", "retry")
            got = status_of(server.http, method, Asked(at, "", {} if method == "post" else None), shown("nothing"))
            told[method, path] = (operation.get("x-right"), got.json()["right"] if got.status_code == 403 else None)
            stranger = status_of(server.http, method, Asked(at, "", {} if method == "post" else None), {})
            assert operation["responses"].keys() >= {str(got.status_code), str(stranger.status_code)}, (method, path)
    own = {it for it in told if it[1].startswith("/events/") and "{partition}" in it[1]}  # one of two rights is enough
    assert [(at, *pair) for at, pair in told.items() if pair[0] != pair[1] and at not in own] == []
    assert told["get", "/rows/order"] == ("read rows/order", "read rows/order")
    assert len({pair[0] for pair in told.values()}) > 20


def test_no_route_is_beside_the_table(server: MemoryServer) -> None:
    """Each is one of its entries, that of an event, or the files of a site, so that each asks for its right."""
    types = {f"/events/{name}" for name in shop.app().event_types()}
    index, files = http_app(server.parts).routes
    assert isinstance(index, RouteIndex)
    assert isinstance(files, Mount)
    assert {it.path for it in index.routes} - types == {it.path for it in ROUTES}


@pytest.mark.parametrize("type_", sorted(shop.app().event_types()))
def test_an_event_is_published_by_who_may_publish_it(server: MemoryServer, type_: str) -> None:
    """`order.*` is for all events of a namespace, a name for one alone."""
    for name, allowed in (("publisher", type_.startswith("order.")), ("web", type_ in ("order.place", "order.cancel"))):
        got = server.http.post(f"/events/{type_}", json={}, headers=shown(name))
        assert got.status_code == (422 if allowed else 403), (name, got.text)
    assert got.status_code == 422 or got.json()["right"] == f"publish {type_}"


def test_an_outcome_is_seen_by_who_may_publish_such_an_event(server: MemoryServer) -> None:
    """Another event of the same namespace is somebody else's."""

    def published(event_type: str, data: dict[str, object]) -> str:
        return str(server.http.post(f"/events/{event_type}", json=data, headers=shown("own")).json()["url"])

    own, others = published("order.place", {**ORDER, "order": "o7"}), published("order.expire", {"order": "o7"})
    assert server.http.get(own, headers=shown("web")).json()["type"] == "order.place"
    assert_problem(server.http.get(others, headers=shown("web")), 403, "read events/order or publish order.")
    assert server.http.get(others, headers=shown("publisher")).json()["type"] == "order.expire"
    assert_problem(server.http.get("/events/stock/0/0", headers=shown("web")), 403, "read events/stock or publish stock.")


def test_lines_of_a_batch_need_the_right_of_each(server: MemoryServer) -> None:
    """Without it nothing is published; with `_bad=skip` the others are, and its result is 403."""
    lines = b"".join(
        b'{"type": "%s", "data": %s}\n' % pair
        for pair in (
            (b"stock.receive", b'{"sku": "B", "quantity": 1, "price": 1}'),
            (b"order.place", b'{"order": "o8", "customer": "c7", "lines": []}'),
        )
    )
    headers = {**shown("web"), "Content-Type": "application/x-ndjson"}
    before = len(server.kafka.published)
    body = server.http.post("/events", content=lines, headers=headers).json()
    assert (body["status"], [(it["line"], it["problem"]) for it in body["errors"]]) == (403, [(1, "/-/problems/missing-right")])
    assert len(server.kafka.published) == before
    got = server.http.post("/events?_bad=skip", content=lines, headers=headers).text.splitlines()
    assert [('"status":403' in line, '"status":202' in line) for line in got] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("web", "rows"), ("reader", "rows events calls timers last"), ("operator", "parked unanswered quarantined"),
        ("auditor", "rows events calls timers last"),
        ("own", "rows events calls timers last parked unanswered quarantined"),
    ],
)  # fmt: skip
def test_an_overview_has_the_figures_that_lists_would_tell(server: MemoryServer, name: str, told: str) -> None:
    """A right to rows is none to the numbers of events, of timers and of what is parked; others are null."""
    [order] = [it for it in server.http.get("/", headers=shown(name)).json()["namespaces"] if it["name"] == "order"]
    without = {"name", "handles", "calls_for", "lag", "blocked"}  # nothing is known of the last two without Kafka
    assert {name for name in order.keys() - without if order[name] is not None} == {*told.split()}


def test_lists_are_of_what_the_principal_may_see(server: MemoryServer) -> None:
    """Tables, projections, namespaces, views and events of others are not named in them."""
    web, reader = shown("web"), shown("reader")
    assert [it["name"] for it in server.http.get("/rows", headers=web).json()["tables"]] == ["order"]
    assert [it["name"] for it in server.http.get("/projections", headers=reader).json()["projections"]] == ["orders_per_day"]
    overview = server.http.get("/", headers=web).json()
    assert ([it["name"] for it in overview["namespaces"]], overview["views"]) == (["order"], ["orders-of/{customer}"])
    assert {name.partition(".")[0] for name in overview["flow"]} == {"order"}
    assert {out for each in overview["flow"].values() for out in each if not out.startswith("order.")} == set()
    assert {it["namespace"] for it in server.http.get("/events", headers=reader).json()["events"]} == {"order"}
    assert len({it["namespace"] for it in server.http.get("/events", headers=shown("auditor")).json()["events"]}) > 1
    calls = {name: server.http.get("/waiting/calls", headers=shown(name)).json() for name in ("reader", "auditor")}
    assert calls["reader"]["calls"] == []
    assert {it["namespace"] for it in calls["auditor"]["calls"]} == {"payment"}
    assert (calls["reader"]["counts"]["call"], calls["auditor"]["counts"]["call"]) == (0, len(calls["auditor"]["calls"]))
    assert_problem(server.http.get("/parked?namespace=stock", headers=shown("operator")), 403, "operate stock")
    assert_problem(server.http.get("/waiting/calls?namespace=payment", headers=reader), 403, "read events/payment")


def test_only_who_looks_after_the_server_sees_what_is_wrong(server: MemoryServer) -> None:
    """A probe tells everyone else no more than the state."""
    server.model.faults["x"] = "the file is torn"
    try:
        told = {name: "checks" in server.http.get("/-/health", headers=shown(name)).json() for name in (*ALL.split(), "stranger")}
        assert [name for name, has in told.items() if has] == ["own", "probe"]
        assert server.http.get("/", headers=shown("auditor")).json()["checks"] == []
    finally:
        server.model.faults = {}


def test_what_a_fold_raised_is_told_to_who_looks_after_the_server(server: MemoryServer) -> None:
    """Data of any event may be in it: all others are told no more than that the projection stands still."""
    server.model.stopped["orders_per_day"] = "the projection orders_per_day raised ValueError: c8 is no number"
    try:
        for name in ("auditor", "own"):
            listed = server.http.get("/projections", headers=shown(name)).json()["projections"]
            [fault] = [it["fault"] for it in listed if it["name"] == "orders_per_day"]
            assert ("c8" in fault, "orders_per_day" in fault) == (name == "own", True)
            got = server.http.get("/projections/orders_per_day", headers=shown(name))
            assert_problem(got, 500, "the projection orders_per_day stands still, since its code failed at an event")
            assert "c8" not in got.text
    finally:
        server.model.stopped = {}


def test_a_registry_takes_any_token_as_a_password(server: MemoryServer) -> None:
    """Its clients know no other way."""
    assert server.http.get("/subjects", auth=("any", token_of("nothing"))).status_code == 200
    assert server.http.get("/rows/order", auth=("any", token_of("auditor"))).status_code == 401


def test_a_key_of_one_principal_is_not_that_of_another(server: MemoryServer) -> None:
    """Two clients may have counted their requests."""
    def publish(name: str, order: str) -> httpx.Response:
        headers = {**shown(name), "Idempotency-Key": "1"}
        return server.http.post("/events/order.place", json={**ORDER, "order": order}, headers=headers)

    first, other = publish("web", "o20"), publish("publisher", "o21")
    assert (first.status_code, other.status_code) == (202, 202)
    assert publish("web", "o20").json()["id"] == first.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("url", ["/live", "/live/order"])
@pytest.mark.parametrize("left", [{}, {"web": {"publish": ["order.place"]}}], ids=["no token", "fewer rights"])
def test_a_stream_ends_with_the_token_or_the_right(tmp_path: Path, url: str, left: Mapping[str, Entry]) -> None:
    """Without a restart, and though nothing happens."""
    before = {"web": {"read": ["events/order"]}}
    tokens = write_tokens(tmp_path / "tokens.toml", before)
    with (
        MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server,
        server.http.stream("GET", url, headers=shown("web")) as stream,
    ):
        until(lambda: server.parts.watching, "nobody watches")
        write_tokens(tokens, left)
        until(lambda: not server.parts.watching, "the stream goes on")
        assert stream.read() is not None
        assert server.http.get("/rows/order", headers=shown("web")).status_code == (403 if left else 401)
