"""The pages of corrections: planned on an event's page, looked at, applied and withdrawn, by links and forms alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streams.errors import StalePlan
from tests.support.html_page import HtmlForm, HtmlPage
from tests.support.memory_server import MemoryServer
from tests.support.tokens import bearer, write_tokens
from tests.support.workers import until
from tests.unit.test_console import BROWSER, page_of
from tests.unit.test_correction_routes import order, server  # noqa: F401 - a fixture


def seen(http: httpx.Client, path: str) -> HtmlPage:
    got = http.get(path, headers=BROWSER)
    assert got.status_code == 200, got.text
    return page_of(got)


def form_of(page: HtmlPage, name: str) -> HtmlForm:
    """The form with this field."""
    return next(it for it in page.forms if it.method == "post" and name in it.fields and it.action.startswith("/corrections"))


def sent(http: httpx.Client, form: HtmlForm, **fields: str) -> str:
    """Where it leads."""
    got = http.post(form.action, data={**form.fields, **fields}, headers=BROWSER)
    assert got.status_code == 303, got.text
    return got.headers["location"]


def test_an_event_is_taken_out_on_its_page(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """The plan says what would be otherwise; only its button applies it, and the page says what was set."""
    http = server.http
    plan = sent(http, form_of(seen(http, "/events/place-1/story"), "remove"), why="a test order")
    page = seen(http, plan)
    assert "Nothing has happened yet" in page.text
    assert [it for it in ("order.place", "payment.refund takes it back", "a test order") if it not in page.text] == []
    assert http.get("/rows/order/o1").status_code == 200
    assert sent(http, form_of(page, "tag"), calls="ask") == plan
    done = http.post(f"{plan}/apply", json={}, headers={"Prefer": "wait=30"})
    assert done.json()["state"] == "applied"
    applied = seen(http, plan)
    assert ("that were set" in applied.text, [it for it in applied.forms if it.action.startswith("/corrections")]) == (True, [])
    assert plan in seen(http, "/corrections").links()
    assert "nothing waits for a person" not in seen(http, "/").text
    assert "1 call of gateways to be seen to" in seen(http, "/corrections").text
    close = form_of(seen(http, "/corrections/calls"), "why")
    assert sent(http, close, why="paid back by hand") == "/corrections/calls"
    assert "No call is open" in seen(http, "/corrections/calls").text
    assert "0 calls of gateways to be seen to" in seen(http, "/corrections").text


def test_calls_are_taken_back_on_their_page(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """Also those that were left to a person first; one that nothing takes back has no such button."""
    http = server.http
    plan = sent(http, form_of(seen(http, "/events/place-1/story"), "remove"), why="a test order")
    sent(http, form_of(seen(http, plan), "tag"), calls="ask")
    assert http.post(f"{plan}/apply", json={}, headers={"Prefer": "wait=30"}).json()["state"] == "applied"
    page = seen(http, "/corrections/calls")
    assert "payment.refund takes it back" in page.text
    assert sent(http, form_of(page, "calls")) == plan
    until(lambda: "No call is open" in seen(http, "/corrections/calls").text, "the call is open")

    def refunds() -> list[str]:
        return [it["type"] for it in http.get("/events/payment?type=payment.refund").json()["events"]]

    until(lambda: refunds() == ["payment.refund"], "its event is not published, or not once")


def test_a_plan_shows_the_data_of_what_is_put_in(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """What a person is about to apply is there with its fields and its time."""
    form = form_of(seen(server.http, "/events/receive/story"), "type")
    text = seen(server.http, sent(server.http, form, data='{"sku": "B2", "quantity": 77, "price": 1}', why="it was forgotten")).text
    assert '{"sku":"B2","quantity":77,"price":1}' in text
    assert form.fields["time"][:10] in text


def test_why_a_plan_was_not_begun_is_on_its_page(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """Whoever pressed its button, and was told to look again, sees it there."""
    plan = sent(server.http, form_of(seen(server.http, "/events/place-1/story"), "remove"), why="a test order")

    def fails(_: object) -> None:
        raise StalePlan("another coordinator is at work: let it end")

    attempt = server.corrector._attempts.begin(plan.rpartition("/")[2], None, fails)
    until(lambda: attempt.over, "it is not over")
    page = seen(server.http, plan)
    assert "It was not begun: another coordinator is at work: let it end" in page.text
    assert form_of(page, "tag").action.endswith("/apply")


def test_an_event_gets_other_data_or_another_one_is_put_in(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """Each with the fields that stand in its form."""
    http = server.http
    page = seen(http, "/events/receive/story")
    replaced = form_of(page, "replace")
    data = {**json.loads(replaced.fields["data"]), "quantity": 50}
    assert "free 3 → 48" in seen(http, sent(http, replaced, data=json.dumps(data), why="a zero was missing")).text
    more = {"sku": "B2", "quantity": 7, "price": 1}
    plan = sent(http, form_of(page, "type"), data=json.dumps(more), why="it was forgotten")
    assert "B2" in seen(http, plan).text
    assert sent(http, form_of(seen(http, plan), "withdraw")) == "/corrections"
    assert http.get(plan).status_code == 404


def test_what_moved_since_the_page_was_made_is_not_applied(server: MemoryServer) -> None:  # noqa: F811 - the fixture
    """The page says so, and nothing has happened."""
    http = server.http
    plan = sent(http, form_of(seen(http, "/events/place-1/story"), "remove"), why="a test order")
    form = form_of(seen(http, plan), "tag")
    order(server, 3)
    got = http.post(form.action, data=form.fields, headers=BROWSER)
    assert (got.status_code, "have moved since" in page_of(got).text) == (412, True)
    assert http.get("/rows/order/o1").status_code == 200


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[MemoryServer]:
    from tests.applications import shop

    tokens = write_tokens(tmp_path / "tokens.toml", {"reader": {"read": ["*"]}, "ann": {"read": ["*"], "correct": ["*"]}})
    with MemoryServer(shop.app(), tmp_path / "state", "correct-horse-battery", http_tokens=str(tokens), answering=True) as found:
        order(found, 1)
        yield found


def test_forms_are_shown_to_who_may_correct(limited: MemoryServer) -> None:
    """And so is the way to the list."""
    for name, shown in (("reader", False), ("ann", True)):
        page = page_of(limited.http.get("/events/place-1/story", headers={**BROWSER, **bearer(name)}))
        assert any(it.action == "/corrections" for it in page.forms) == shown
        assert ("/corrections" in page.links()) == shown
