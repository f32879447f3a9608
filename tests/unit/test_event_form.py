"""Events that a browser publishes by a plain form, without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streams.server.pages.form_body import FORM
from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_console import BROWSER, page_of
from tests.unit.test_server_errors import TOKEN, assert_problem

GOODS = {"sku": "y", "quantity": "12", "price": "300"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        yield server


def led_to(server: MemoryServer, got: httpx.Response) -> str:
    """The text of the page at which the browser ends."""
    assert got.status_code == 303, got.text
    return page_of(server.http.get(got.headers["location"], headers=BROWSER, follow_redirects=True)).text


def test_a_form_publishes_and_leads_to_its_event(server: MemoryServer) -> None:
    """The texts of its fields become numbers, as the schema says."""
    text = led_to(server, server.http.post("/events/stock.receive", data=GOODS, headers=BROWSER))
    assert "stock.receive y" in text
    assert server.http.get("/rows/stock/y").json()["row"]["free"] == 12


def test_a_form_that_the_handler_rejects_leads_to_the_reason(server: MemoryServer) -> None:
    """The event is in the log, so it has a page."""
    fields = {"sku": "y", "order": "o1", "quantity": "1"}
    text = led_to(server, server.http.post("/events/stock.reserve", data=fields, headers=BROWSER))
    assert ("rejected" in text, "stock.reserve" in text) == (True, True)


def test_a_form_whose_event_is_not_handled_yet_leads_to_where_that_is_seen(server: MemoryServer) -> None:
    """It is published, so a person must not send it again."""
    server.kafka.held = True
    assert "Not handled yet" in led_to(server, server.http.post("/events/stock.receive", data=GOODS, headers=BROWSER))


@pytest.mark.parametrize(
    ("type_", "fields", "status", "words"),
    [
        ("stock.receive", {**GOODS, "quantity": "many"}, 422, "field 'quantity' is 'many'"),
        ("stock.receive", {"sku": "y"}, 422, "quantity"),
        ("stock.receive", {**GOODS, "color": "red"}, 422, "'color' is no field of stock.receive"),
        ("stock.recieve", GOODS, 404, "did you mean stock.receive?"),
    ],
)
def test_a_wrong_form_is_a_page_that_says_so(
    server: MemoryServer, type_: str, fields: dict[str, str], status: int, words: str
) -> None:
    """In the words of the API; nothing is published."""
    got = server.http.post(f"/events/{type_}", data=fields, headers=BROWSER)
    assert (got.status_code, got.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in page_of(got).text
    assert server.kafka.published == []


def test_a_form_of_a_stranger_publishes_nothing(server: MemoryServer, tmp_path: Path) -> None:
    """Of another site, or without the token."""
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert_problem(server.http.post("/events/stock.receive", data=GOODS, headers=elsewhere), 403, "another site")
    with MemoryServer(shop.app(), tmp_path / "other", TOKEN) as guarded:
        assert_problem(guarded.http.post("/events/stock.receive", data=GOODS), 401, "Authorization")
        assert guarded.kafka.published == []
    assert server.kafka.published == []


def test_optional_fields_may_be_left_empty(tmp_path: Path) -> None:
    """A browser sends every field of a form."""
    import processors

    with MemoryServer(processors.app(), tmp_path) as server:
        fields = {"user": "u1", "email": "u1@example.org", "plan": "", "created": "", "views": ""}
        got = server.http.post("/events/user.signup", data=fields, headers={"Content-Type": FORM})
        assert got.status_code == 303, got.text
        assert server.http.get("/rows/user/u1").json()["row"]["plan"] == "free"
