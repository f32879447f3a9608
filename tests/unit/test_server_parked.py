"""What is set aside, over HTTP: lists, and what an operator decides."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.engine.control import OperatorCommand
from streams.kafka.parked import InboxOffset
from streams.server.http import decisions
from tests.support.memory_server import MemoryServer
from tests.support.troubled_shop import Trouble, troubled_server
from tests.unit.test_server_errors import assert_problem


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[MemoryServer, Trouble]]:
    with troubled_server(tmp_path) as found:
        yield found


def listed(server: MemoryServer, query: str = "") -> dict[str, dict[str, Any]]:
    """By state; of several the first."""
    found: dict[str, dict[str, Any]] = {}
    for it in server.http.get(f"/parked{query}").json()["events"]:
        found.setdefault(it["status"], it)
    return found


def url(it: dict[str, Any]) -> str:
    return f"/parked/{it['namespace']}/{it['partition']}/{it['place']}"


def test_what_is_set_aside_is_listed(shop: tuple[MemoryServer, Trouble]) -> None:
    """With the reason, in the order of inboxes; by state, namespace and key; a page at a time."""
    server, _ = shop
    found = server.http.get("/parked").json()
    assert found["counts"] == {"parked": 2, "unanswered": 1, "quarantined": 0}
    assert [(it["namespace"], it["key"], it["status"]) for it in found["events"]] == [
        ("payment", "o1", "unanswered"), ("stock", "y", "parked"), ("stock", "y", "parked"),
    ]  # fmt: skip
    assert "ZeroDivisionError" in listed(server)["parked"]["reason"]
    assert [*listed(server, "?status=unanswered")] == ["unanswered"]
    assert [*listed(server, "?namespace=stock&key=y")] == ["parked"]
    first = server.http.get("/parked?_limit=2").json()
    rest = server.http.get(f"/parked?_limit=2&_next={first['next']}").json()
    assert (first["events"] + rest["events"], rest["next"]) == (found["events"], None)


def test_one_of_them_is_told_whole(shop: tuple[MemoryServer, Trouble]) -> None:
    """Its data, when it happened, the traceback, and what waits behind it."""
    server, _ = shop
    it = server.http.get(url(listed(server)["parked"])).json()
    assert (it["type"], it["key"], it["data"]["quantity"]) == ("stock.receive", "y", 5)
    assert "ZeroDivisionError" in it["detail"]
    assert datetime.fromisoformat(it["time"]) <= datetime.fromisoformat(it["since"])
    assert (it["first"], it["behind_count"]) == (it["position"], 1)
    asked = server.http.get(url(listed(server)["unanswered"])).json()
    assert asked["answers"] == ["payment.charged", "payment.declined"]


def test_a_retry_handles_its_queue(shop: tuple[MemoryServer, Trouble]) -> None:
    """Once the handler is mended; the outcome is told, and the row is there."""
    server, trouble = shop
    trouble.broken = False
    got = server.http.post(f"{url(listed(server)['parked'])}/retry", json={})
    assert got.status_code == 200, got.text
    assert (got.json()["outcome"], got.json()["still_parked"]) == ("accepted", 0)
    assert server.http.get("/rows/stock/y").json()["row"]["free"] == 12
    assert [it.who for it in server.kafka.commands] == ["loopback"]


def test_a_retry_that_fails_again_is_told(shop: tuple[MemoryServer, Trouble]) -> None:
    """With the new reason; nothing is lost."""
    server, _ = shop
    server.kafka.world.now = server.kafka.world.now.replace(year=2027)  # it is set aside at another time
    assert_problem(server.http.post(f"{url(listed(server)['parked'])}/retry", json={}), 409, "set aside again", "ZeroDivisionError")
    assert server.http.get("/parked").json()["counts"]["parked"] == 2


def test_a_rejection_has_its_reason_in_the_log(shop: tuple[MemoryServer, Trouble]) -> None:
    """And what stood behind it is handled, or parked in its place."""
    server, trouble = shop
    place = url(listed(server)["parked"])
    assert_problem(server.http.post(f"{place}/reject", json={"why": " "}), 422, "needs a reason", field="why")
    assert server.kafka.commands == []
    trouble.broken = False
    got = server.http.post(f"{place}/reject", json={"why": "a typo"}).json()
    assert (got["outcome"], got["still_parked"]) == ("rejected", 0)
    assert server.http.get("/rows/stock/y").json()["row"]["free"] == 7
    [event] = server.http.get("/events/stock?outcome=rejected").json()["events"]
    assert ("a typo" in event["reason"], event["by"]) == (True, "operator")


def test_a_person_answers_for_a_gateway(shop: tuple[MemoryServer, Trouble]) -> None:
    """What the gateway declares and nothing else, about the request's key."""
    server, _ = shop
    place = url(listed(server)["unanswered"])
    right = {"type": "payment.charged", "data": {"order": "o1", "receipt": "by hand"}}
    for wrong, words, field in (
        ({"type": "payment.chraged"}, "did you mean payment.charged?", "type"),
        ({"type": "order.cancel", "data": {"order": "o1", "why": "x"}}, "does not answer with order.cancel", ""),
        ({**right, "data": {"order": "o2", "receipt": "r"}}, "this answer is about 'o2'", ""),
        ({**right, "data": {"order": "o1"}}, "'receipt' is missing", "receipt"),
        ({"kind": "x"}, "unknown field `kind`", ""),
    ):
        assert_problem(server.http.post(f"{place}/answer", json=wrong), 422, words, field=field)
    assert server.kafka.commands == []
    assert server.http.post(f"{place}/answer", json=right).status_code == 200
    assert server.http.get("/rows/order/o1").json()["row"]["receipt"] == "by hand"


def test_only_the_first_of_a_key_is_decided_about(shop: tuple[MemoryServer, Trouble]) -> None:
    """No worker would carry out what is decided about one behind it, so it is not sent."""
    server, _ = shop
    first, second = (it for it in server.http.get("/parked?namespace=stock").json()["events"])
    assert_problem(server.http.post(f"{url(second)}/retry", json={}), 409, f"it is {first['position']}")
    assert_problem(server.http.post("/parked/stock/0/99/retry", json={}), 404, "nothing is set aside at stock-0@99")
    assert_problem(server.http.post(f"{url(first)}/forget", json={}), 404, "'forget' is no decision")
    assert_problem(server.http.post(f"{url(first)}/answer", json={"type": "stock.receive"}), 422, "not by its gateway")
    assert server.kafka.commands == []


def test_a_decision_that_no_worker_carries_out_yet_is_sent(shop: tuple[MemoryServer, Trouble]) -> None:
    """The answer says that it waits."""
    server, _ = shop
    server.kafka.held = True
    got = server.http.post(f"{url(listed(server)['parked'])}/retry", json={}, headers={"Prefer": "wait=0"})
    assert (got.status_code, got.json()["outcome"]) == (202, "pending")
    assert len(server.kafka.commands) == 1


def test_a_decision_that_came_too_late_says_so(shop: tuple[MemoryServer, Trouble], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another event of the key was set aside before it meanwhile: that it is handled later would be waited for in vain."""
    server, _ = shop
    monkeypatch.setattr(decisions, "FOR_AN_OUTCOME", 0.1)
    it, send = listed(server)["parked"], server.kafka.command

    def passed_over(namespace: str, command: OperatorCommand) -> InboxOffset:
        return send(namespace, msgspec.structs.replace(command, offset=command.offset + 99))

    server.kafka.command = passed_over  # type: ignore[method-assign]  # for this test
    got = server.http.post(f"{url(it)}/retry", json={}, headers={"Prefer": "wait=0"})
    assert_problem(got, 409, f"{it['position']} is as it was: its worker has seen the decision")
    assert listed(server)["parked"] == it


def test_what_waits_is_listed(shop: tuple[MemoryServer, Trouble]) -> None:
    """Timers with when they are due, and calls that have no answer; a call that was given up is set aside instead."""
    server, _ = shop
    [timer] = server.http.get("/waiting/timers").json()["timers"]
    assert (timer["type"], timer["namespace"], timer["key"], timer["overdue"]) == ("order.expire", "order", "o1", True)
    assert server.http.get("/waiting/timers?key=o2").json()["timers"] == []
    assert server.http.get("/waiting/calls").json()["calls"] == []
    assert_problem(server.http.get("/waiting/timers?_next=x"), 422, "the `next` of a page", field="_next")
