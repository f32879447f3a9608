"""The console: the API's own addresses as pages for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from streams.kafka.status import NamespaceStatus, PartitionStatus, Status
from streams.server.pages.page_templates import FOLDER
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.html_page import HtmlPage
from tests.support.memory_server import MemoryServer

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
ODD = 'a/b <script>alert("1")</script> & é'
CSP = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
MOST_PAGES = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """The shop with an order that was paid, one that the stock refused, and a customer with an odd name."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=3), id="receive-x", source="depot")
        for key, quantity in (("o1", 1), ("o2", 50), (ODD, 1)):
            lines = (Line(sku="x", quantity=quantity),)
            server.kafka.publish(OrderPlace(order=key, customer=ODD, lines=lines), id=f"place-{key[:2]}", source="web")
            server.kafka.world.settle()
        server.kafka.show()
        yield server


def seen(server: MemoryServer, url: str, status: int = 200) -> HtmlPage:
    got = server.http.get(url, headers=BROWSER)
    assert got.status_code == status, (url, got.text)
    return page_of(got)


def page_of(got: httpx.Response) -> HtmlPage:
    """A page that is whole: each tag is closed, no id is there twice, and nothing is in it that its policy forbids."""
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    assert (got.headers["content-security-policy"], got.headers["x-content-type-options"]) == (CSP, "nosniff")
    assert "Accept" in got.headers["vary"]
    page = HtmlPage(got.text)
    assert page.unclosed == [], got.request.url
    assert [name for name, count in Counter(page.ids()).items() if count > 1] == []
    for tag, given in page.tags:
        assert tag != "style"
        assert tag != "script" or "src" in given
        assert not [name for name in given if name == "style" or name.startswith("on")], (tag, given)
    return page


def test_a_browser_gets_a_page_and_everyone_else_json(server: MemoryServer) -> None:
    """At the same address; a cache hears that the two differ."""
    for url in ("/", "/rows", "/rows/order", "/rows/order/o1", "/events", "/projections", "/projections/charges/o1"):
        seen(server, url)
        for accept in ("*/*", "application/json", "application/json, text/html;q=0.9"):
            got = server.http.get(url, headers={"Accept": accept})
            assert (got.status_code, got.headers["content-type"]) == (200, "application/json"), url
            assert "Accept" in got.headers["vary"]


def test_the_form_may_be_asked_for_in_the_address(server: MemoryServer) -> None:
    """So a page links to its JSON, and a program may link to a page."""
    got = server.http.get("/rows/order/o1?_form=json", headers=BROWSER)
    assert got.json() == server.http.get("/rows/order/o1").json()
    page_of(server.http.get("/rows/order?customer=nobody&_form=html"))
    assert server.http.get("/rows/order?_form=pdf").status_code == 422


def test_a_page_counts_as_what_it_shows(server: MemoryServer) -> None:
    """In the metrics, by the same route as its JSON."""
    seen(server, "/rows/order/o1")
    figures = server.http.get("/-/metrics").text
    assert 'retold_http_requests_total{method="GET",route="/rows/{namespace}/{key}",status="200"}' in figures


def test_every_link_of_every_page_leads_somewhere(server: MemoryServer) -> None:
    """From the first page on, by links alone, all pages are reached; none leads to another host."""
    waiting, known = ["/"], {"/"}
    while waiting:
        url = waiting.pop()
        got = server.http.get(url, headers=BROWSER)
        assert got.status_code == 200, (url, got.text)
        if not got.headers["content-type"].startswith("text/html"):
            assert got.headers["content-type"].partition(";")[0] in ("application/json", "text/csv")
            continue
        for link in page_of(got).links():
            target = urljoin(url, link).partition("#")[0]
            assert target != "/live?_form=json", "that is a stream"
            assert urlsplit(target).netloc == "", link
            if target not in known:
                known.add(target)
                waiting.append(target)
        assert len(known) < MOST_PAGES, "pages without end"
    assert {"/rows/order/o1", "/projections/charges", "/events/order-0%3A1/story"} <= known


def test_a_view_is_asked_from_the_first_page(server: MemoryServer) -> None:
    """Its form has a field for each name in its path, and leads to the answer, whatever is typed."""
    [form] = [it for it in seen(server, "/").forms if it.action == "/views/orders-of/{customer}"]
    assert "customer" in form.fields
    for value in ("c7", "a/b c?", "{customer}"):
        got = server.http.get(form.action, params={"customer": value}, headers=BROWSER, follow_redirects=True)
        assert (got.status_code, got.request.url.path) == (200, f"/views/orders-of/{value}")
        page_of(got)


def test_the_flow_shows_what_leads_to_what(server: MemoryServer) -> None:
    """As a graph, and in words; with the counts of each namespace."""
    page = seen(server, "/")
    assert "order.place can lead to stock.reserve, order.expire" in page.text.replace(" ,", ",")
    edges = [given["class"] for tag, given in page.tags if tag == "path" and "edge" in given.get("class", "")]
    assert Counter(edges) == {"edge": 2, "edge back": 2}
    boxes = [given["href"] for tag, given in page.tags if tag == "a" and given["href"].startswith("/rows/")]
    assert Counter(boxes) == {"/rows/order": 2, "/rows/stock": 2, "/rows/payment": 2}


def test_the_flow_says_whether_everything_is_handled(server: MemoryServer) -> None:
    """In a sentence; and that it is not known while Kafka has not said so."""
    observed = server.parts.observed
    assert "Whether everything is handled is not known" in seen(server, "/").text

    def told(lag: int) -> str:
        part = PartitionStatus(0, "w", 10, 10 - lag, lag, 1, 1, "running")
        observed.saw(Status("b", "", tuple(NamespaceStatus(it.name, "shop", (part,)) for it in server.parts.app.namespaces)))
        return seen(server, "/").text

    assert "Everything is handled, and nothing is blocked or set aside." in told(0)
    assert "Everything is handled" not in told(3)


def test_a_row_tells_what_happened_to_it_and_why(server: MemoryServer) -> None:
    """Each event of it with its cause, its effects, and the fields that it changed."""
    page = seen(server, "/rows/order/o1")
    assert "status reserving → paying" in page.text
    assert "status paying → paid" in page.text
    assert "because of payment.charged" in page.text
    assert "not enough in stock" in seen(server, "/rows/stock/x").text


def test_the_page_of_the_api_has_each_field_once_with_its_operators(server: MemoryServer) -> None:
    """A parameter for each operator, as the OpenAPI has it, would be ten lines a field."""
    text = server.http.get("/-/docs", headers=BROWSER).text
    routes = text[text.index("GET /rows/order</code>") :].partition("GET /rows/stock</code>")[0]
    assert routes.count("<dt><code>customer</code></dt>") == 1
    assert "Rows of which customer is this. Also customer__ne, customer__in" in routes
    assert "<dt><code>customer__ne</code></dt>" not in text


def test_each_event_has_a_command_that_publishes_it(tmp_path: Path) -> None:
    """With the example of its schema, at the address that was asked; it does what it says."""
    with MemoryServer(shop.app(), tmp_path) as server:
        lines = re.findall(r"curl -s (\S+) .*? -d '([^']*)'", seen(server, "/-/docs").text)
        assert len(lines) == len(server.parts.app.event_types())
        url, data = next(it for it in lines if it[0].endswith("/events/stock.receive"))
        assert url == f"{str(server.http.base_url).rstrip('/')}/events/stock.receive"
        answer = server.http.post(url, content=data, headers={"Content-Type": "application/json", "Prefer": "wait=5"})
        assert answer.json()["outcome"] == "accepted"


def test_values_are_escaped(server: MemoryServer) -> None:
    """A key may be anything: it is shown as it is, and its links find it."""
    page = seen(server, "/rows/order")
    [link] = [it for it in page.links() if "script" in it and it.startswith("/rows/order/")]
    assert ODD in seen(server, link).texts("h1")[0]


def test_numbers_of_rows_stand_below_each_other(server: MemoryServer) -> None:
    """With their headings: those of a stock, and not an order's customer."""
    stock, order = seen(server, "/rows/stock"), seen(server, "/rows/order")
    assert [given.get("class") for tag, given in stock.tags if tag == "td"][:3] == ["n", "n", "n"]
    assert [given.get("class") for tag, given in stock.tags if tag == "th"][:4] == [None, "n", "n", "n"]
    assert [given.get("class") for tag, given in order.tags if tag == "td"][:2] == ["n", None]


def test_rows_are_filtered_by_a_form_and_sorted_by_links(server: MemoryServer) -> None:
    """The form ends at the address of the filter, which JSON has, too."""
    got = server.http.get("/rows/order?_sort=-total&_field=status&_value=paid", headers=BROWSER)
    assert (got.status_code, got.headers["location"]) == (303, "/rows/order?_sort=-total&status=paid")
    page = seen(server, got.headers["location"])
    assert "status is paid" in page.text
    assert "o2" not in page.texts("a")
    assert ("th", {"scope": "col", "class": "n", "aria-sort": "descending"}) in page.tags
    assert "/rows/order?status=paid&_sort=total" in page.links()
    got = server.http.get("/rows/order?status=paid&_field=total&_op=gte&_value=3&_next=x", headers=BROWSER)
    assert got.headers["location"] == "/rows/order?status=paid&total__gte=3"
    page = seen(server, got.headers["location"])
    assert ("total at least 3" in page.text, "2 rows" in page.text) == (True, True)
    assert "/rows/order?status=paid" in page.links()


def test_pages_of_rows_follow_each_other(server: MemoryServer) -> None:
    """By the cursor that JSON has."""
    page = seen(server, "/rows/order?_limit=2")
    [following] = [given["href"] for tag, given in page.tags if given.get("rel") == "next"]
    assert "This is the last page." in seen(server, following).text


def test_an_event_tells_its_causes_and_effects(server: MemoryServer) -> None:
    """By its position, its id, or its offset in the inbox."""
    page = seen(server, "/events/place-o1/story")
    assert "Nothing: it was published." in page.text
    assert "payment.charge" in page.text
    got = server.http.get("/events/order/0/0", headers=BROWSER)
    assert (got.status_code, got.headers["location"]) == (303, "/events/order-0%3A1/story")


def test_a_form_asks_what_would_have_been_without_an_event(server: MemoryServer) -> None:
    """The answer is a page of what would be otherwise; nothing real is changed."""
    before = server.http.get("/rows/stock/x").json()
    form = next(it for it in seen(server, "/events/place-o1/story").forms if "remove" in it.fields)
    got = server.http.post(form.action, data=form.fields, headers=BROWSER)
    assert got.status_code == 200, got.text
    page = page_of(got)
    assert "would not call payment.charge o1" in page.text
    assert "order o1 would not be there" in page.text
    assert server.http.get("/rows/stock/x").json() == before


def test_a_form_asks_what_would_have_been_with_other_data(server: MemoryServer) -> None:
    """They are given as JSON; what is wrong with them is said as the API says it."""
    form = next(it for it in seen(server, "/events/place-o1/story").forms if "replace" in it.fields)
    other = form.fields["data"].replace('"quantity": 1', '"quantity": 9')
    page = page_of(server.http.post(form.action, data={**form.fields, "data": other}, headers=BROWSER))
    assert "Would not have happened" in page.text
    got = server.http.post(form.action, data={**form.fields, "data": "{"}, headers=BROWSER)
    assert got.status_code == 422
    assert "the data are no JSON" in page_of(got).text


def test_a_derived_event_names_what_could_be_left_out(server: MemoryServer) -> None:
    """Only what was published can be: the page offers the event that it came from."""
    [position] = {it["position"] for it in server.http.get("/events?type=order.paid&key=o1").json()["events"]}
    page = seen(server, f"/events/{position}/story")
    [form] = [it for it in page.forms if "remove" in it.fields]
    assert form.fields["remove"] == "order-0:1"
    assert "It follows from order.place o1" in page.text


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("/rows/ordr", 404, "did you mean order?"),
        ("/rows/order/none", 404, "has no row 'none'"),
        ("/rows/order?colour=red", 422, "'colour' is no parameter here"),
        ("/nowhere", 404, "there is nothing at /nowhere"),
        ("/live/nowhere", 404, "no namespace 'nowhere'"),
    ],
)
def test_a_problem_is_a_page_with_the_same_words(server: MemoryServer, url: str, status: int, words: str) -> None:
    """And with its status, also where there is no page otherwise."""
    assert words in seen(server, url, status).text


def test_the_sheet_is_small_and_kept_for_good(server: MemoryServer) -> None:
    """Its address has a digest, so a new one is seen at once; and a page needs nothing else."""
    page = seen(server, "/")
    [sheet] = [given["href"] for _, given in page.tags if given.get("rel") == "stylesheet"]
    got = server.http.get(sheet)
    assert (got.status_code, got.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in got.headers["cache-control"]
    assert len(got.content) <= 6 * 1024
    assert {given.get("src", given.get("href")) for tag, given in page.tags if tag in ("link", "img", "script")} == {
        f"/-/static/{name}?v={version}" for name, version in versions(page)
    }


def versions(page: HtmlPage) -> list[tuple[str, str]]:
    found = [given.get("src", given.get("href", "")) for tag, given in page.tags if tag in ("link", "script")]
    parts = [urlsplit(it) for it in found]
    assert all((FOLDER / "static" / it.path.rpartition("/")[2]).is_file() for it in parts)
    return [(it.path.rpartition("/")[2], it.query.removeprefix("v=")) for it in parts]
