"""The server's routes over real HTTP; its Kafka is a World (tests/support/memory_server.py)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from streams.engine.identity import request_id
from streams.kafka.status import NamespaceStatus, PartitionStatus, Status
from streams.projection import Projection
from streams.schemas.schema_ids import id_of
from streams.server.readmodel.known_outcome import KnownOutcome
from tests.applications import bank, probe, shop
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow
from tests.applications.shop.events import Line, OrderCancel, OrderPlace
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.unit.test_server_errors import assert_problem

ETAG = f'"1.{id_of(AccountRow.schemas[-1])}"'
"""Of the first version of an account's row."""

WAIT = {"Prefer": "wait=30"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(bank.app(), tmp_path) as server:
        yield server


@pytest.fixture
def http(server: MemoryServer) -> httpx.Client:
    return server.http


def opened(http: httpx.Client, key: str, balance: int = 10, **headers: str) -> httpx.Response:
    return http.post("/events/account.open", json={"account": key, "balance": balance}, headers=headers)


def test_a_published_event_has_a_receipt_and_an_address(http: httpx.Client) -> None:
    """202 with type, key, id and inbox offset; its Location says what became of it."""
    got = opened(http, "a1")
    body = got.json()
    assert (got.status_code, got.headers["location"]) == (202, "/events/account/0/0")
    assert {name: body[name] for name in ("type", "key", "namespace", "partition", "offset", "url")} == {
        "type": "account.open", "key": "a1", "namespace": "account", "partition": 0, "offset": 0,
        "url": "/events/account/0/0",
    }  # fmt: skip
    became = http.get(got.headers["location"]).json()
    assert (became["outcome"], became["id"], became["position"]) == ("accepted", body["id"], "account-0:1")


def test_who_waits_hears_the_outcome_and_can_read_its_row(http: httpx.Client) -> None:
    """200 with the position; the row is there, its ETag is its version and schema, and it says up to where it is true."""
    got = opened(http, "a1", **WAIT)
    assert (got.status_code, got.json()["outcome"], got.json()["sequence"]) == (200, "accepted", 1)
    assert (got.headers["retold-position"], got.headers["etag"]) == ("account-0:1", ETAG)
    row = http.get("/rows/account/a1", params={"_min_position": got.headers["retold-position"]})
    assert row.json() == {"key": "a1", "version": 1, "row": {"balance": 10}}
    assert (row.headers["etag"], row.headers["retold-position"], row.headers["retold-lag"]) == (
        ETAG,
        "account-0:1",
        "0",
    )


def test_an_answer_that_the_client_has_is_not_sent_again(http: httpx.Client) -> None:
    """If-None-Match with the ETag of a row or of a list is answered by 304, until it changes."""
    opened(http, "a1")
    for url in ("/rows/account/a1", "/rows/account"):
        tag = http.get(url).headers["etag"]
        assert http.get(url, headers={"If-None-Match": tag}).status_code == 304
    http.post("/events/account.credit", json={"account": "a1", "transfer": "t", "amount": 5})
    assert http.get("/rows/account/a1", headers={"If-None-Match": ETAG}).status_code == 200


def test_a_rejection_a_wrong_version_and_silence_are_distinguished(server: MemoryServer, http: httpx.Client) -> None:
    """409 with the handler's reason, 412 for a stale If-Match, 504 with the receipt if there is no outcome in time."""
    opened(http, "a1")
    again = opened(http, "a1", **WAIT)
    assert (again.status_code, again.json()["outcome"], again.json()["reason"]) == (
        409, "rejected", "this account is already open",
    )  # fmt: skip
    stale = http.post(
        "/events/account.credit",
        json={"account": "a1", "transfer": "t", "amount": 5},
        headers={"If-Match": '"7"', **WAIT},
    )
    assert (stale.status_code, stale.json()["outcome"]) == (412, "rejected")
    assert stale.json()["reason"] == "wrong version: expected 7, the row is at 1"
    right = http.post(
        "/events/account.credit",
        json={"account": "a1", "transfer": "t", "amount": 5},
        headers={"If-Match": '"1"', **WAIT},
    )
    assert right.status_code == 200
    server.kafka.held = True
    late = opened(http, "a2", Prefer="wait=0.1")
    assert (late.status_code, late.headers["location"]) == (504, late.json()["receipt"]["url"])
    assert http.get(late.headers["location"]).json()["outcome"] == "pending"
    at = late.json()["receipt"]["offset"]
    assert late.json()["detail"] == (
        f"account.open of 'a2' is at account-0@{at}, and was not handled after 0.1 s; see /events/account/0/{at}."
    )


def test_if_none_match_star_asks_for_no_row(server: MemoryServer, http: httpx.Client) -> None:
    """It expects the version 0."""
    opened(http, "a1", **{"If-None-Match": "*"})
    assert server.kafka.published[-1][1]["version"] == 0


def test_an_event_that_was_parked_is_a_500_with_its_inbox_offset(tmp_path: Path) -> None:
    """The answer has the reason, and where the event is kept."""
    with MemoryServer(probe.app(), tmp_path) as server:
        body = {"name": "k", "how": "raise"}
        got = server.http.post("/events/probe.do", json=body, headers=WAIT)
    assert (got.status_code, got.json()["outcome"], got.headers["location"]) == (500, "parked", "/events/probe/0/0")
    assert "told to raise for k" in got.json()["detail"]


def test_an_idempotency_key_publishes_once(server: MemoryServer, http: httpx.Client) -> None:
    """The same request again has the same receipt; the id is derived from who, where and key."""
    first, second = (opened(http, "a1", **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.json() == second.json()
    assert [given["id"] for _, given in server.kafka.published] == [
        request_id("loopback", "POST /events/account.open", "k1")
    ]


@pytest.mark.parametrize("change", [{"balance": 11}, {"If-Match": '"3"'}])
def test_an_idempotency_key_belongs_to_one_request(http: httpx.Client, change: dict[str, Any]) -> None:
    """With another body, or another expected version, it is refused."""
    opened(http, "a1", **{"Idempotency-Key": "k1"})
    got = opened(http, "a1", **{"Idempotency-Key": "k1", **change})  # type: ignore[arg-type]  # the balance is a number
    assert (got.status_code, got.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert got.json()["detail"].startswith("the Idempotency-Key 'k1' came before with another event")


def test_an_event_that_was_not_taken_may_be_tried_again(server: MemoryServer, http: httpx.Client) -> None:
    """A key whose event never left is not used up."""
    server.kafka.broken = True
    assert opened(http, "a1", **{"Idempotency-Key": "k1"}).status_code == 503
    server.kafka.broken = False
    assert opened(http, "a1", **{"Idempotency-Key": "k1"}).status_code == 202


def cloud_event(**change: Any) -> bytes:
    whole = {
        "specversion": "1.0", "type": "account.open", "source": "//till/7", "id": "e-1", "time": "2026-01-31T12:00:00Z",
        "subject": "a1", "data": {"account": "a1", "balance": 10},
    }  # fmt: skip
    return json.dumps({name: value for name, value in (whole | change).items() if value != "left out"}).encode()


CLOUD = {"Content-Type": "application/cloudevents+json"}


def test_a_cloud_event_keeps_its_own_id_time_and_source(server: MemoryServer, http: httpx.Client) -> None:
    """So a producer's duplicates are recognised, and the time is when it happened."""
    got = http.post("/events/account.open", content=cloud_event(expectedversion=0), headers=CLOUD)
    given = server.kafka.published[-1][1]
    assert (got.status_code, given["id"], given["source"], given["version"]) == (202, "e-1", "//till/7", 0)
    assert given["time"].isoformat() == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "account.close"}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": "left out"}, "id"),
        ({"source": 7}, "source"),
        ({"time": "yesterday"}, "time"),
        ({"subject": "a2"}, "subject"),
        ({"data": [1]}, "data"),
        ({"data": {"account": "a1"}}, "balance"),
        ({"expectedversion": -1}, "expectedversion"),
        ({"colour": "red"}, "colour"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
    ],
)
def test_a_wrong_cloud_event_names_its_attribute(http: httpx.Client, change: dict[str, Any], field: str) -> None:
    """One field is named in the answer, with its value and what was expected."""
    got = http.post("/events/account.open", content=cloud_event(**change), headers=CLOUD)
    assert (got.status_code, got.json()["errors"][0]["field"]) == (422, field)


def test_keys_may_hold_slashes_and_any_letter(http: httpx.Client) -> None:
    """Escaped in an address, they find their row."""
    for key in ("a/b//c", "Zoë/søster", "50% of ?&#", "日本", ".."):
        assert opened(http, key, **WAIT).status_code == 200
        escaped = "".join(f"%{byte:02X}" for byte in key.encode())
        assert http.get(f"/rows/account/{escaped}").json()["key"] == key


def test_rows_are_chosen_sorted_and_paged(http: httpx.Client) -> None:
    """Equality of fields, an order, and pages that together hold each row once."""
    for n in range(7):
        opened(http, f"a{n}", n % 3)
    assert [row["key"] for row in http.get("/rows/account?balance=0").json()["rows"]] == ["a0", "a3", "a6"]
    found, following = [], ""
    while following is not None:
        page = http.get(
            "/rows/account", params={"_sort": "-balance", "_limit": "3", **({"_next": following} if following else {})}
        )
        found += [(row["row"]["balance"], row["key"]) for row in page.json()["rows"]]
        following = page.json()["next"]
    assert found == sorted(found, reverse=True)
    assert len(found) == 7
    assert page.json()["positions"] == ["account-0:7"]


def test_a_page_goes_on_where_the_last_one_ended_though_rows_come_and_go(http: httpx.Client) -> None:
    """The cursor is a place in the order and not a number of rows."""
    for n in (1, 2, 3, 4):
        opened(http, f"a{n}", 0)
    first = http.get("/rows/account?_limit=2").json()
    http.post("/events/account.close", json={"account": "a1"})
    opened(http, "a25", 0)
    second = http.get("/rows/account", params={"_limit": "2", "_next": first["next"]}).json()
    assert [row["key"] for row in first["rows"] + second["rows"]] == ["a1", "a2", "a25", "a3"]


PLACED = "2026-01-31T12:00:00Z"


@pytest.fixture
def shop_server(tmp_path: Path) -> Iterator[MemoryServer]:
    """The shop, with two orders of c7 and one of another customer on two days."""
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        for order, customer, day in (("o1", "c7", 30), ("o2", "c7", 31), ("o3", "c/8", 31)):
            body = {"order": order, "customer": customer, "lines": [{"sku": "A1", "quantity": 1}]}
            event = {"specversion": "1.0", "type": "order.place", "source": "t", "id": order, "data": body}
            event["time"] = f"2026-01-{day}T12:00:00Z"
            got = server.http.post("/events/order.place", content=json.dumps(event), headers={**CLOUD, **WAIT})
            assert got.status_code == 200, got.text
        yield server


def test_projections_are_answered(shop_server: MemoryServer) -> None:
    """A row, the rows, filters and order, with the positions of the logs that they fold."""
    http = shop_server.http
    assert http.get("/projections/orders_per_day/2026-01-31").json() == {
        "key": "2026-01-31", "row": {"count": 2}, "positions": ["order-0:3"], "lag": 0,
    }  # fmt: skip
    found = http.get("/projections/orders_per_day?_sort=-count").json()["rows"]
    assert [(row["key"], row["row"]["count"]) for row in found] == [("2026-01-31", 2), ("2026-01-30", 1)]
    assert http.get("/projections/orders_per_day/1999-01-01").status_code == 404


def test_a_server_without_processes_says_that_it_was_asked_for_a_view(tmp_path: Path) -> None:
    """Where a test expects an error, it could else take this one for it."""
    with pytest.raises(AssertionError, match="answering=True"), MemoryServer(shop.app(), tmp_path) as server:
        assert server.http.get("/views/orders-of/c7").status_code == 500


def test_views_are_answered(shop_server: MemoryServer) -> None:
    """A view gets the names in its path, also one with an escaped slash in it."""
    http = shop_server.http
    assert sorted(http.get("/views/orders-of/c7").json()["answer"]) == ["o1", "o2"]
    assert sorted(http.get("/views/orders-of/c%2F8").json()["answer"]) == ["o3"]
    assert http.get("/views/orders-of/c7").json()["answer"]["o1"]["placed"] == "2026-01-30T12:00:00Z"


def test_rows_are_chosen_by_times_and_enumerations(shop_server: MemoryServer) -> None:
    """A parameter is read as the field's type."""
    http = shop_server.http
    assert [row["key"] for row in http.get("/rows/order?status=reserving&customer=c7").json()["rows"]] == ["o1", "o2"]
    assert [row["key"] for row in http.get("/rows/order?placed=2026-01-30T12:00:00Z").json()["rows"]] == ["o1"]
    assert [row["key"] for row in http.get("/rows/order?receipt=").json()["rows"]] == ["o1", "o2", "o3"]


def divide() -> int:
    return 1 // 0


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing can be said of it")


def mumble() -> None:
    raise Mute


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(divide, "ZeroDivisionError"), (sys.exit, "SystemExit"), (mumble, "Mute: <exception str() failed>")],
)
def test_a_fold_that_raises_stops_its_projection_and_no_other(
    tmp_path: Path, wrong: Callable[[], object], words: str
) -> None:
    """The status has it with its log sequence; skipping an event would be silently wrong. An exit does not stop the follower."""
    app = shop.app()
    [charges] = [it for it in app.projections if it.name == "charges"]
    raises = Projection("charges", row=charges.row_type)
    raises.folds_by[OrderPlace] = (lambda event: event.key, lambda row, event: cast(Any, wrong()))
    others = [it for it in app.projections if it is not charges]
    with MemoryServer(replace(app, projections=[raises, *others], views=[]), tmp_path) as server:
        line = Line(sku="A1", quantity=1)
        server.kafka.publish(OrderPlace(order="o1", customer="c", lines=(line,)))
        broken, other = (server.http.get(f"/projections/{name}") for name in ("charges", "orders_per_day"))
        status = server.http.get("/-/status").json()["server"]["projections"]["charges"]
    assert (broken.status_code, "/-/status tells an administrator how" in broken.json()["detail"]) == (500, True)
    assert (len(other.json()["rows"]), words in status["fault"], "order-0:1" in status["fault"]) == (1, True, True)


def test_a_stream_resumes_after_the_last_event_that_was_seen(server: MemoryServer, http: httpx.Client) -> None:
    """Last-Event-ID says where; nothing is missing and nothing comes twice."""
    for n in range(5):
        server.kafka.publish(AccountOpen(account=f"a{n}", balance=n))
    first = watched(http, "/live/account?_from=beginning", 2)
    rest = watched(http, "/live/account", 3, **{"Last-Event-ID": first[-1][0]})
    assert [data["key"] for _, data in first + rest] == ["a0", "a1", "a2", "a3", "a4"]
    assert [name for name, _ in first + rest] == [f"0:{n}" for n in range(1, 6)]


def test_a_stream_of_a_key_shows_its_events_alone(server: MemoryServer, http: httpx.Client) -> None:
    """Rejected ones too, as such; others move its id on."""
    for key in ("a/1", "a2", "a/1"):
        server.kafka.publish(AccountOpen(account=key, balance=1))
    found = watched(http, "/live/account/a%2F1?_from=beginning", 2)
    assert [(name, data["outcome"]) for name, data in found] == [("0:1", "accepted"), ("0:3", "rejected")]


def test_a_stream_from_the_beginning_has_all_of_a_log(server: MemoryServer, http: httpx.Client) -> None:
    """A piece at a time, however long it is."""
    for n in range(2_300):
        server.kafka.world.when(AccountOpen(account=f"a{n}", balance=n))
    server.kafka.show()
    found = watched(http, "/live/account?_from=beginning", 2_300)
    assert [data["sequence"] for _, data in found] == list(range(1, 2_301))


def test_confluents_clients_find_schemas(http: httpx.Client, server: MemoryServer) -> None:
    """By id, and by subject and version."""
    assert http.get("/subjects").json() == sorted(set(server.codec.schema_ids().values()))
    assert http.get("/subjects/account.open/versions").json() == [1]
    latest = http.get("/subjects/account.open/versions/latest").json()
    assert json.loads(http.get(f"/schemas/ids/{latest['id']}").json()["schema"])["name"] == "account.open"
    assert http.get(f"/schemas/ids/{latest['id']}/versions").json() == [{"subject": "account.open", "version": 1}]
    unknown = http.get("/schemas/ids/7")
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, 40403)


def test_the_openapi_has_the_schemas_of_events_and_rows(http: httpx.Client) -> None:
    """Each event has its own operation with its own body."""
    spec = http.get("/openapi.json").json()
    post = spec["paths"]["/events/account.open"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/account.open"}
    assert spec["components"]["schemas"]["account.open"]["required"] == ["account", "balance"]
    assert {"account.row", "transfer.row", "Problem"} <= spec["components"]["schemas"].keys()
    assert all("default" in operation["responses"] for path in spec["paths"].values() for operation in path.values())


def test_health_status_and_metrics(http: httpx.Client) -> None:
    """Ready; what is here; figures by route and not by address."""
    opened(http, "a1")
    http.get("/rows/account/a1")
    assert http.get("/-/health").json()["status"] == "ready"
    assert http.get("/-/status").json()["server"]["rows"] == {"account": 1, "transfer": 0}
    text = http.get("/-/metrics").text
    assert 'retold_http_requests_total{method="GET",route="/rows/{namespace}/{key}",status="200"} 1.0' in text
    assert 'retold_position{namespace="account",partition="0"} 1.0' in text


def test_metrics_count_partitions_by_state(server: MemoryServer, http: httpx.Client) -> None:
    """As they were last looked at; while nothing is known, there is no figure, which is not the same as 0."""
    assert "retold_partitions{" not in http.get("/-/metrics").text
    server.parts.states.counts = {("account", "running"): 3, ("account", "no worker"): 1}
    text = http.get("/-/metrics").text
    assert 'retold_partitions{namespace="account",state="running"} 3.0' in text
    assert 'retold_partitions{namespace="account",state="no worker"} 1.0' in text


WAITS = PartitionStatus(0, None, 9, 8, 1, 5, 1, oldest=1, oldest_offset=8)
BAD = Status("b", "", (NamespaceStatus("account", "bank", (WAITS,), parked=2),))
GOOD = Status("b", "", (NamespaceStatus("account", "bank", (PartitionStatus(0, "w", 9, 9, 0, 5, 1, "running"),)),))


def test_health_is_that_of_the_application(server: MemoryServer, http: httpx.Client) -> None:
    """It turns red and back by what was seen last; whether this server answers is another question."""
    observed = server.parts.observed
    observed.begin()
    try:
        observed.saw(BAD)
        got = http.get("/-/health")
        body = assert_problem(got, 503, "needs an operator")
        assert {(it["name"], it["state"]) for it in body["checks"]} >= {("account.lag", "bad"), ("account.parked", "warn")}
        assert got.headers["retry-after"] == "1"
        assert [http.get(f"/-/{path}").status_code for path in ("live", "ready")] == [200, 200]
        named = [(it["name"], it["state"]) for it in http.get("/-/status").json()["checks"]]
        assert named == [(it["name"], it["state"]) for it in body["checks"]]  # their details count seconds
        text = http.get("/-/metrics").text
        assert 'retold_inbox_lag{namespace="account",partition="0"} 1.0' in text
        assert 'retold_partition_owned{namespace="account",owner="",partition="0"} 0.0' in text
        assert 'retold_parked_events{namespace="account"} 2.0' in text
        assert "retold_broker_up 1.0" in text
        observed.saw(GOOD)
        assert http.get("/-/health").json() == {"status": "ready", "state": "good", "checks": []}
        assert 'retold_inbox_oldest_seconds{namespace="account",partition="0"} 0.0' in http.get("/-/metrics").text
        observed._seen -= 100
        observed.why = "the broker does not answer"
        [check] = http.get("/-/health").json()["checks"]
        assert (check["name"], check["state"]) == ("status", "bad")
        text = http.get("/-/metrics").text
        assert "retold_broker_up 0.0" in text
        assert "retold_inbox_lag{" not in text, "what is old is not shown as new"
    finally:
        observed.begun = False


def test_a_blocked_partition_is_counted_by_its_cause(server: MemoryServer, http: httpx.Client) -> None:
    """Every cause has its figure, so that one that is over goes down to 0 and does not vanish."""
    slow = replace(WAITS, owner="w", state="blocked", state_cause="slow", state_since=1)
    try:
        server.parts.observed.saw(Status("b", "", (NamespaceStatus("account", "bank", (slow,)),)))
        text = http.get("/-/metrics").text
        assert dict(re.findall(r'retold_waiting\{namespace="account",partition="0",reason="(\w+)"\} (\S+)', text)) == {
            "schema": "0.0", "handler": "0.0", "slow": "1.0", "outdated": "0.0",
        }  # fmt: skip
    finally:
        server.parts.observed.saw(GOOD)


def test_a_projection_that_stopped_is_bad(shop_server: MemoryServer) -> None:
    """At once: it never goes on by itself."""
    server, http = shop_server, shop_server.http
    name = next(iter(server.model.projected))
    server.model.stopped = {name: "it raised"}
    try:
        assert http.get("/-/health").status_code == 503
        assert f'retold_projection_stopped{{projection="{name}"}} 1.0' in http.get("/-/metrics").text
    finally:
        server.model.stopped = {}
    assert http.get("/-/health").status_code == 200


def test_a_stranger_hears_no_more_than_the_state(tmp_path: Path) -> None:
    """With a token, the checks are for who has it."""
    token = "correct-horse-battery"
    with MemoryServer(bank.app(), tmp_path, token) as server:
        server.parts.observed.saw(BAD)
        assert set(server.http.get("/-/health").json()) == {"type", "title", "status", "detail", "instance", "state"}
        right = {"Authorization": f"Bearer {token}"}
        assert server.http.get("/-/health", headers=right).json()["checks"]
        assert [server.http.get(f"/-/{path}").status_code for path in ("live", "ready")] == [200, 200]


def test_an_old_outcome_is_found_in_kafka(server: MemoryServer, http: httpx.Client) -> None:
    """What the read model does not have is looked up; what is not there is a 404."""
    server.kafka.publish(AccountCredit(account="nobody", transfer="t", amount=1))
    server.kafka.forget_outcomes()
    server.kafka.became_later[0] = KnownOutcome(outcome="rejected", sequence=1, reason="there is no such account")
    got = http.get("/events/account/0/0").json()
    assert (got["outcome"], got["key"], got["position"]) == ("rejected", "nobody", "account-0:1")
    assert http.get("/events/account/0/99").status_code == 404


def test_an_order_is_a_record_inside_records(shop_server: MemoryServer) -> None:
    """A mistake deep inside is named by its path."""
    body = {"order": "o9", "customer": "c", "lines": [{"sku": "A1", "quantity": "two"}]}
    got = shop_server.http.post("/events/order.place", json=body)
    assert got.json()["errors"][0]["field"] == "lines.1.quantity"
    assert OrderCancel.event_type in shop_server.http.post("/events/order.canel", json={}).json()["detail"]
