"""Corrections over HTTP: planned, looked at, applied, withdrawn, and the calls that they have made wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from streams.engine.records import Counters
from streams.history.correction.correction_plan import refuse_edited
from streams.kafka.status import NamespaceStatus, Status
from streams.server.http.question_forms import ChangedQuestion
from streams.server.http.questions import Questions
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.tokens import bearer, write_tokens
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

WHY = {"why": "a test order"}
WAIT = {"Prefer": "wait=30"}


def order(server: MemoryServer, number: int) -> None:
    server.kafka.publish(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="A1", quantity=1),)), id=f"place-{number}")
    server.kafka.world.settle()
    server.kafka.show()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    """Two orders, which are paid."""
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        server.kafka.publish(StockReceive(sku="A1", quantity=5, price=300), id="receive")
        for number in (1, 2):
            order(server, number)
        yield server


@pytest.fixture
def http(server: MemoryServer) -> httpx.Client:
    return server.http


def planned(http: httpx.Client, headers: Mapping[str, str] | None = None, **change: Any) -> httpx.Response:
    return http.post("/corrections", json={**WHY, **(change or {"remove": ["place-1"]})}, headers=headers)


def url_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def apply(http: httpx.Client, url: str, tag: str | None, **body: str) -> httpx.Response:
    return http.post(f"{url}/apply", json=body, headers={**WAIT, **({} if tag is None else {"If-Match": tag})})


def test_a_plan_says_all_that_would_be_otherwise_and_changes_nothing(http: httpx.Client) -> None:
    """Its ETag is its digest; it is found where `Location` says, and in the list."""
    made = planned(http)
    body, changes = made.json(), made.json()["changes"]
    assert (body["state"], body["by"], body["why"], body["number"]) == ("planned", "loopback", "a test order", 0)
    assert made.headers["ETag"] == f'"{body["digest"]}"'
    rows = {(it["namespace"], it["key"], it["after"] is None) for it in changes["rows"]}
    assert rows >= {("order", "o1", True), ("stock", "A1", False)}
    assert ("order.place", "o1") in {(it["type"], it["key"]) for it in changes["missing"]}
    assert [call["undo"] for call in changes["calls"]] == ["payment.refund"]
    assert set(body["touches"]) >= {"order", "stock", "payment"}
    assert http.get("/rows/order/o1").json()["row"]["status"] == "paid"
    again = http.get(url_of(made))
    assert (again.json(), again.headers["ETag"]) == (body, made.headers["ETag"])
    assert [it["correction"] for it in http.get("/corrections").json()["corrections"]] == [body["correction"]]


def test_answers_are_assumed_where_that_is_asked_for(http: httpx.Client, server: MemoryServer) -> None:
    """An order of two pieces is charged otherwise, and keeps the answer that it had, as told in its plan and kept with it."""
    change = {"replace": {"place-1": {"order": "o1", "customer": "c", "lines": [{"sku": "A1", "quantity": 2}]}}}
    assert planned(http, **change).json()["changes"]["open"] > 0
    made = planned(http, **change, assume_answers=True)
    body = made.json()
    assert (body["changes"]["open"], len(body["assumed"])) == (0, 1)
    assert http.get(url_of(made)).headers["ETag"] == made.headers["ETag"]
    assert apply(http, url_of(made), made.headers["ETag"]).json()["state"] == "applied"
    row = http.get("/rows/order/o1").json()["row"]
    assert (row["status"], row["total"]) == ("paid", 600)
    assert http.get("/corrections/calls").json()["calls"] == []


def test_what_is_applied_is_what_was_seen(http: httpx.Client, server: MemoryServer) -> None:
    """Without its ETag a plan is not applied, nor with an old one, and then nothing has happened; with it, rows are set."""
    made = planned(http)
    url = url_of(made)
    assert_problem(apply(http, url, None), 428, "If-Match is missing", field="If-Match")
    order(server, 3)
    moved = apply(http, url, made.headers["ETag"])
    assert assert_problem(moved, 412, "rows or events have moved since", field="If-Match")["type"] == "/-/problems/plan-moved"
    assert http.get("/rows/order/o1").status_code == 200
    now = http.get(url)
    assert now.headers["ETag"] == moved.headers["ETag"] != made.headers["ETag"]
    done = apply(http, url, now.headers["ETag"])
    assert (done.status_code, done.json()["state"], done.json()["rows"] > 0) == (200, "applied", True), done.text
    assert http.get("/rows/order/o1").status_code == 404
    assert http.get("/rows/stock/A1").json()["row"]["free"] == 3


def test_one_that_was_applied_is_shown_with_the_rows_before_and_after(http: httpx.Client) -> None:
    """As its steps have set them, with the events that are out and the calls that are wrong. Once more, it writes nothing."""
    made = planned(http)
    url = url_of(made)
    assert apply(http, url, made.headers["ETag"]).status_code == 200
    told, before = http.get(url).json(), made.json()["changes"]
    names = ("namespace", "key", "version", "before", "after")

    def rows(of: Any) -> list[list[Any]]:
        return sorted(([it[name] for name in names] for it in of["rows"]), key=str)

    assert (told["state"], told["untold"]) == ("applied", None)
    assert rows(told["changes"]) == rows(before)
    assert [it["name"] for it in told["changes"]["missing"]] == [it["name"] for it in before["missing"]]
    [call] = told["wrong_calls"]
    assert (call["state"], call["type"], call["key"]) == ("open", "payment.charge", "o1")
    again = apply(http, url, None)
    assert (again.status_code, again.json()["number"]) == (200, 1)


def test_applying_goes_on_behind_the_answer(http: httpx.Client, server: MemoryServer) -> None:
    """202, with where to look; asked once more, it is the same one. Another one waits for its turn."""
    made, other = planned(http), planned(http, remove=["place-2"])
    server.corrector.goes_on.clear()
    url = url_of(made)
    got = http.post(f"{url}/apply", json={}, headers={"If-Match": made.headers["ETag"]})
    assert (got.status_code, got.headers["Location"]) == (202, url)
    assert (got.json()["state"], got.json()["at_work"]) == ("applying", "memory")
    assert http.post(f"{url}/apply", json={}).status_code == 202
    waits = http.get(url_of(other))
    refused = apply(http, url_of(other), waits.headers["ETag"])
    assert_problem(refused, 409, "let it end")
    server.corrector.goes_on.set()
    until(lambda: http.get(url).json()["state"] == "applied", "it is not applied")


def test_one_that_runs_is_not_told_to_do_otherwise_about_calls(http: httpx.Client, server: MemoryServer) -> None:
    """It would end as it was begun, and whoever has asked for something else would take it for done."""
    made = planned(http)
    server.corrector.goes_on.clear()
    url, seen = url_of(made), {"If-Match": made.headers["ETag"]}
    assert http.post(f"{url}/apply", json={"calls": "skip"}, headers=seen).status_code == 202
    assert_problem(http.post(f"{url}/apply", json={"calls": "undo"}), 409, "as 'skip' says: let it end, then apply it again")
    assert http.post(f"{url}/apply", json={"calls": "skip"}).status_code == 202
    server.corrector.goes_on.set()
    until(lambda: http.get(url).json()["state"] == "applied", "it is not applied")


def test_why_an_attempt_failed_before_it_was_at_work_is_told_later(http: httpx.Client, server: MemoryServer) -> None:
    """Who was told 202 looks at its address, and in the list; nothing else says it. Once it is applied, nothing does."""
    made = planned(http)
    url, plans = url_of(made), server.corrector._plans
    plan = plans.pop(made.json()["correction"])
    attempt = server.corrector._attempts.begin(plan.correction, None, lambda _: refuse_edited(replace(plan, why="another")))
    until(lambda: attempt.over, "it is not over")
    assert "is not as it was written" in http.get(url).json()["stopped"]
    assert "is not as it was written" in http.get("/corrections").json()["corrections"][0]["stopped"]
    plans[plan.correction] = plan
    assert apply(http, url, made.headers["ETag"]).status_code == 200
    assert http.get(url).json()["stopped"] == ""


def test_what_a_correction_has_changed_is_decided_once_for_the_same_log(
    http: httpx.Client, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for those who look at it while it is applied; an event that is handled has it decided again."""
    told: list[str] = []
    real = Questions.answer

    def counted(questions: Questions, *given: Any) -> Any:
        told.extend(it.correction for it in given if isinstance(it, ChangedQuestion))
        return real(questions, *given)

    monkeypatch.setattr(Questions, "answer", counted)
    made = planned(http)
    apply(http, url_of(made), made.headers["ETag"])
    bodies = [http.get(url_of(made)).json() for _ in range(3)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(told) == 1
    order(server, 3)
    http.get(url_of(made))
    assert len(told) == 2


def test_what_a_correction_has_changed_is_left_untold_where_it_does_not_read(http: httpx.Client, server: MemoryServer) -> None:
    """As where its event has a schema that this code does not have: that is no fault of the server."""
    made = planned(http, replace={"place-1": {"order": "o1", "customer": "d", "lines": [{"sku": "A1", "quantity": 1}]}})
    apply(http, url_of(made), made.headers["ETag"])
    [state] = server.kafka.corrections
    change = replace(state.change, replace=dict.fromkeys(state.change.replace, b"\0\xff\xff\xff\xff"))
    server.kafka.corrections = [replace(state, change=change)]
    got = http.get(url_of(made))
    assert (got.status_code, got.json()["changes"]) == (200, None), got.text
    assert got.json()["untold"].startswith("an event of a correction does not read here")


def test_a_call_is_closed_by_who_has_seen_to_it(http: httpx.Client) -> None:
    """It is listed until then, and afterwards among all."""
    made = planned(http)
    apply(http, url_of(made), made.headers["ETag"])
    [call] = http.get("/corrections/calls").json()["calls"]
    close = f"/corrections/calls/{call['id']}/close"
    assert_problem(http.post(close, json={}), 422, "with why was expected", field="why")
    assert_problem(http.post(close, json={"why": " "}), 422, "a correction says why")
    closed = http.post(close, json={"why": "paid back by hand"}).json()
    assert (closed["state"], closed["by"], closed["why"]) == ("closed", "loopback", "paid back by hand")
    assert http.get("/corrections/calls").json()["calls"] == []
    assert [it["state"] for it in http.get("/corrections/calls?state=all").json()["calls"]] == ["closed"]
    assert_problem(http.post(close, json={"why": "again"}), 409, "0 open calls")


def test_the_event_that_takes_a_call_back_is_published_if_that_is_asked_for(http: httpx.Client) -> None:
    """With `calls`, as `retold correct apply --calls` does."""
    made = planned(http)
    assert_problem(apply(http, url_of(made), made.headers["ETag"], calls="perhaps"), 422, "ask, undo or skip was expected")
    assert apply(http, url_of(made), made.headers["ETag"], calls="undo").status_code == 200
    assert http.get("/corrections/calls").json()["calls"] == []
    assert http.get("/rows/payment/o1").json()["row"]["status"] == "refunded"


def test_what_has_changed_nothing_is_withdrawn(http: httpx.Client) -> None:
    """Then it is not known any more; what was applied stays."""
    gone, stays = planned(http), planned(http, remove=["place-2"])
    assert http.post(f"{url_of(gone)}/withdraw", json={}).json()["state"] == "withdrawn"
    assert_problem(http.get(url_of(gone)), 404, "is withdrawn")
    apply(http, url_of(stays), http.get(url_of(stays)).headers["ETag"])
    assert_problem(http.post(f"{url_of(stays)}/withdraw", json={}), 409, "stays in the log")


@pytest.mark.parametrize(
    ("body", "status", "text", "field"),
    [
        ({"remove": ["place-1"]}, 422, "missing required field `why`", ""),
        ({"why": " ", "remove": ["place-1"]}, 422, "a correction says why", ""),
        ({"why": "x" * 1001, "remove": ["place-1"]}, 422, "at most 1000 are kept", ""),
        ({"why": "x"}, 422, "nothing is changed", "insert"),
        ({"why": "x", "remove": ["nobody"]}, 404, "nobody", ""),
        ({"why": "x", "remove": ["stock-0:2"]}, 422, "it follows from", ""),
        ({"why": "x", "remove": [f"p{number}" for number in range(1001)]}, 422, "at most 1000 are taken", ""),
        ({"why": "x", "by": "eve", "remove": ["place-1"]}, 422, "unknown field `by`", ""),
        ({"why": "x", "replace": {"place-1": {"order": "o1"}}}, 422, "customer", "customer"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(http: httpx.Client, body: Any, status: int, text: str, field: str) -> None:
    """Nothing is kept of it."""
    got = http.post("/corrections", json=body)
    assert_problem(got, status, text, field=field)
    assert http.get("/corrections").json()["corrections"] == []


def test_bodies_are_bounded_and_of_json(http: httpx.Client) -> None:
    """A change of a megabyte, and less for what holds none."""
    large = b'{"why": "' + b"x" * (1024 * 1024) + b'"}'
    kind = {"Content-Type": "application/json"}
    assert_problem(http.post("/corrections", content=large, headers=kind), 413, "at most 1048576 are taken")
    plain = http.post("/corrections", content=b"why=x", headers={"Content-Type": "text/plain"})
    assert_problem(plain, 415, "application/json", field="Content-Type")
    assert_problem(http.post("/corrections/x/apply", content=large[: 70 * 1024], headers=kind), 413, "at most 65536 are taken")


def test_a_list_has_pages_and_states(http: httpx.Client) -> None:
    """The plan that was made last comes first; an unknown state is refused."""
    names = [url_of(planned(http, remove=[name])).rpartition("/")[2] for name in ("place-1", "place-2", "receive")]
    first = http.get("/corrections?_limit=2").json()
    rest = http.get("/corrections", params={"_limit": 2, "_next": first["next"]}).json()
    assert sorted(it["correction"] for it in [*first["corrections"], *rest["corrections"]]) == sorted(names)
    assert (len(first["corrections"]), rest["next"]) == (2, None)
    assert http.get("/corrections?state=applied").json()["corrections"] == []
    assert_problem(http.get("/corrections?state=lost"), 422, "planned, applying, applied was expected", field="state")



@pytest.fixture
def limited(tmp_path: Path) -> Iterator[MemoryServer]:
    names = [space.name for space in shop.app().namespaces]
    principals = {"ann": {"correct": names}, "stocks": {"correct": ["stock"]}, "orders": {"correct": ["order"]}}
    tokens = write_tokens(tmp_path / "tokens.toml", principals)
    with MemoryServer(shop.app(), tmp_path / "state", "correct-horse-battery", http_tokens=str(tokens), answering=True) as server:
        server.kafka.publish(StockReceive(sku="A1", quantity=5, price=300), id="receive")
        server.kafka.publish(StockReceive(sku="B1", quantity=5, price=300), id="receive-b")
        order(server, 1)
        yield server


def test_a_correction_needs_the_right_to_every_namespace_that_it_touches(limited: MemoryServer) -> None:
    """Not only to those of the events that it names: their consequences count. Who has it is kept as who corrects."""
    http = limited.http
    assert assert_problem(planned(http, bearer("stocks"), remove=["order-0:1"]), 403, "is missing")["right"] == "correct order"
    assert_problem(planned(http, bearer("orders")), 403, "is missing")
    assert_problem(planned(http, bearer("stocks"), remove=["receive"]), 403, "is missing")
    own = planned(http, bearer("stocks"), remove=["receive-b"])
    assert (own.json()["by"], own.json()["touches"]) == ("stocks", ["stock"])
    made = planned(http, bearer("ann"))
    assert made.json()["by"] == "ann"
    for name in ("stocks", "orders"):
        assert_problem(http.get(url_of(made), headers=bearer(name)), 403, "is missing")
        got = http.post(f"{url_of(made)}/apply", json={}, headers={**bearer(name), "If-Match": made.headers["ETag"]})
        assert_problem(got, 403, "is missing")
        assert_problem(http.post(f"{url_of(made)}/withdraw", json={}, headers=bearer(name)), 403, "is missing")
    seen = {name: len(http.get("/corrections", headers=bearer(name)).json()["corrections"]) for name in ("ann", "stocks", "orders")}
    assert seen == {"ann": 2, "stocks": 1, "orders": 0}


def test_whether_another_namespace_has_an_event_is_not_told(limited: MemoryServer) -> None:
    """By no status and no word: neither of an id that it has, nor of a position there."""
    http, stocks = limited.http, bearer("stocks")
    for there, not_there in (("place-1", "place-9"), ("order-0:1", "order-0:9")):
        for change in ({"remove": [there]}, {"replace": {there: {"quantity": 1}}}):
            otherwise = json.loads(json.dumps(change).replace(there, not_there))
            got, other = planned(http, stocks, **change), planned(http, stocks, **otherwise)
            assert got.status_code == (404 if there == "place-1" else 403)
            assert got.text.replace(there, not_there) == other.text
    assert planned(http, stocks, remove=["receive-b"]).status_code == planned(http, stocks, remove=["stock-0:2"]).status_code == 201


def test_nor_is_told_whether_another_namespace_has_a_step_of_an_id(limited: MemoryServer) -> None:
    """It cannot be corrected, which is another error; who may correct its namespace hears that."""
    http = limited.http
    made = planned(http, bearer("ann"))
    done = http.post(f"{url_of(made)}/apply", json={}, headers={**bearer("ann"), **WAIT, "If-Match": made.headers["ETag"]})
    assert done.status_code == 200, done.text
    events = http.get("/events/order", headers={"Authorization": "Bearer correct-horse-battery"}).json()["events"]
    [step] = [it["id"] for it in events if it["outcome"] == "corrected"]
    got, other = (planned(http, bearer("stocks"), remove=[it]) for it in (step, "place-9"))
    assert (got.status_code, got.text.replace(step, "place-9")) == (404, other.text)
    assert "is a step of the correction" in planned(http, bearer("ann"), remove=[step]).text


def test_calls_are_seen_and_closed_by_who_may_correct_them(limited: MemoryServer) -> None:
    """For others they are not listed, and the beginning of an id names none of them."""
    http = limited.http
    made = planned(http, bearer("ann"))
    done = http.post(f"{url_of(made)}/apply", json={}, headers={**bearer("ann"), **WAIT, "If-Match": made.headers["ETag"]})
    assert done.status_code == 200, done.text
    [call] = http.get("/corrections/calls", headers=bearer("ann")).json()["calls"]
    assert http.get("/corrections/calls", headers=bearer("orders")).json()["calls"] == []
    close = f"/corrections/calls/{call['id']}/close"
    assert_problem(http.post(close, json={"why": "done"}, headers=bearer("orders")), 403, "correct payment")
    begins = f"/corrections/calls/{call['id'][:8]}/close"
    assert_problem(http.post(begins, json={"why": "done"}, headers=bearer("orders")), 409, "0 open calls")
    assert http.post(begins, json={"why": "done"}, headers=bearer("ann")).json()["by"] == "ann"
    assert_problem(http.post(close, json={"why": "done"}, headers=bearer("orders")), 403, "correct payment")


def test_what_events_in_flight_have_led_to_is_told_to_who_has_the_right_to_that(limited: MemoryServer) -> None:
    """The plan said nothing of it: an order of what was taken out came while the correction was applied."""
    http, kafka = limited.http, limited.kafka
    made = planned(http, bearer("stocks"), remove=["receive-b"])
    assert made.json()["touches"] == ["stock"]
    limited.corrector.goes_on.clear()
    headers = {**bearer("stocks"), "If-Match": made.headers["ETag"]}
    assert http.post(f"{url_of(made)}/apply", json={}, headers=headers).status_code == 202
    assert http.get(url_of(made), headers=bearer("stocks")).status_code == 200
    kafka.publish(OrderPlace(order="o9", customer="c", lines=(Line(sku="B1", quantity=1),)), id="place-9")
    kafka.world.settle()
    kafka.show()
    limited.corrector.goes_on.set()
    until(lambda: http.get(url_of(made), headers=bearer("ann")).json()["state"] == "applied", "it is not applied")
    told = http.get(url_of(made), headers=bearer("ann")).json()
    assert "order" in {it["namespace"] for it in told["changes"]["rows"]}
    assert {it["type"] for it in told["wrong_calls"]} == {"payment.charge"}
    assert_problem(http.get(url_of(made), headers=bearer("stocks")), 403, "is missing")


def test_that_corrections_are_lost_is_said(http: httpx.Client, server: MemoryServer) -> None:
    """A list without any would say that nothing was corrected, while workers have carried out steps. A plan alone is none."""
    url = url_of(planned(http))
    for steps, status in ((0, 200), (2, 503)):
        server.parts.observed.saw(Status("b", "", (NamespaceStatus("order", "shop", (), counters=Counters(corrected=steps)),)))
        assert http.get("/corrections").status_code == status
    assert_problem(http.get("/corrections"), 503, "workers have carried out 2 steps of some", "Bring it back from a backup")
    assert apply(http, url, http.get(url).headers["ETag"]).status_code == 200
    assert [it["state"] for it in http.get("/corrections").json()["corrections"]] == ["applied"]
