"""The pages of what is set aside: an operator decides by links and forms, and no script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.html_page import HtmlPage
from tests.support.memory_server import MemoryServer
from tests.support.troubled_shop import Trouble, troubled_server
from tests.unit.test_console import BROWSER, page_of


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[MemoryServer, Trouble]]:
    with troubled_server(tmp_path) as found:
        yield found


def seen(server: MemoryServer, path: str) -> HtmlPage:
    got = server.http.get(path, headers=BROWSER)
    assert got.status_code == 200, got.text
    return page_of(got)


def test_a_page_asks_once_more_and_ends_at_the_outcome(shop: tuple[MemoryServer, Trouble]) -> None:
    """From the parked row to its story, by links and forms alone, without a script."""
    server, trouble = shop
    row = seen(server, "/rows/stock/y")
    assert "This key is parked" in row.text
    one = seen(server, next(it for it in row.links() if it.startswith("/parked/")))
    assert "a <b>bug</b> that somebody deployed" in one.text
    asks = seen(server, next(it for it in one.links() if it.endswith("/retry")))
    assert "the 1 event behind it is handled in order, too" in asks.text
    assert server.kafka.commands == []
    [form] = [it for it in asks.forms if it.method == "post"]
    trouble.broken = False
    got = server.http.post(form.action, data=form.fields, headers=BROWSER)
    assert got.status_code == 303, got.text
    told = server.http.get(got.headers["location"], headers=BROWSER, follow_redirects=True)
    assert "stock.receive y" in page_of(told).text
    assert "This key is parked" not in seen(server, "/rows/stock/y").text


def test_a_form_answers_for_a_gateway(shop: tuple[MemoryServer, Trouble]) -> None:
    """One for each event that it declares, with the request's key."""
    server, _ = shop
    [it] = server.http.get("/parked?status=unanswered").json()["events"]
    place = f"/parked/{it['namespace']}/{it['partition']}/{it['place']}"
    forms = {it.fields["type"]: it for it in seen(server, f"{place}/answer").forms if "type" in it.fields}
    assert forms.keys() == {"payment.charged", "payment.declined"}
    form = forms["payment.charged"]
    assert form.fields["field-order"] == "o1"
    got = server.http.post(form.action, data={**form.fields, "field-receipt": "by hand"}, headers=BROWSER)
    assert got.status_code == 303, got.text
    assert server.http.get("/rows/order/o1").json()["row"]["status"] == "paid"


def test_the_flow_says_what_needs_somebody(shop: tuple[MemoryServer, Trouble]) -> None:
    """The namespaces with something set aside come first."""
    server, _ = shop
    found = {it["name"]: it for it in server.http.get("/").json()["namespaces"]}
    assert (found["stock"]["parked"], found["payment"]["unanswered"], found["order"]["timers"]) == (2, 1, 1)
    page = seen(server, "/")
    assert "Parked 3" in page.text
    names = [it for it in page.texts("a") if it in found]
    assert {*names[:2]} == {"stock", "payment"}
    assert "2 events of stock are set aside, and hold up their keys. Look and decide" in page.text
    assert "1 event of payment is set aside, and holds up its key. Look and decide" in page.text
    assert "/parked?namespace=stock" in page.links()


def test_what_waits_is_seen(shop: tuple[MemoryServer, Trouble]) -> None:
    """Timers, and calls without an answer."""
    server, _ = shop
    assert "order.expire" in seen(server, "/waiting/timers").text
    assert "No gateway owes an answer" in seen(server, "/waiting/calls").text
