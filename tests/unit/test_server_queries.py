"""Queries over HTTP: filters, orders, pages that lead to each other, counts, facets, forms, and refusals with a page each."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.server.http import row_stream
from streams.server.http.pools import FEW
from streams.server.http.problem_types import PROBLEM_TYPES
from streams.server.readmodel import row_answers
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

ROOT = Path(__file__).parents[2]
FORMULA = "=1+1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """Seven orders of three customers, one of which has a name that a spreadsheet would compute."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state")) as server:
        server.kafka.publish(StockReceive(sku="A1", quantity=5, price=300))
        for number in range(7):
            customer = ["c7", "c8", FORMULA][number % 3]
            line = Line(sku="A1", quantity=number + 1)
            server.kafka.publish(OrderPlace(order=f"o{number}", customer=customer, lines=(line,)))
        server.kafka.world.settle(parked="allow")
        server.kafka.show()
        yield server


@pytest.fixture(scope="module")
def http(server: MemoryServer) -> httpx.Client:
    return server.http


def keys(http: httpx.Client, question: str) -> list[str]:
    got = http.get(f"/rows/order?{question}")
    assert got.status_code == 200, got.text
    return [row["key"] for row in got.json()["rows"]]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("customer=c7", ["o0", "o3", "o6"]),
        ("customer__ne=c7&_key__lt=o4", ["o1", "o2"]),
        ("customer__in=c7,c8&_sort=-_key&_limit=3", ["o6", "o4", "o3"]),
        ("customer__startswith=c&customer__contains=8", ["o1", "o4"]),
        ("customer__startswith=%3D", ["o2", "o5"]),
        ("receipt=&_key__gte=o5", ["o5", "o6"]),
        ("receipt__isnull=false&_sort=-_key", ["o1", "o0"]),
        ("_sort=-customer,_key", ["o1", "o4", "o0", "o3", "o6", "o2", "o5"]),
        ("_limit=0", []),
    ],
)
def test_rows_are_found_by_operators(http: httpx.Client, question: str, expected: list[str]) -> None:
    """In an address, joined by AND."""
    assert keys(http, question) == expected


def test_pages_lead_to_each_other(http: httpx.Client) -> None:
    """By a link in the header, with the same filters and order; the last one has none."""
    url: str | None = "/rows/order?customer__in=c7,c8&_sort=customer,-_key&_limit=2"
    found = []
    while url is not None:
        got = http.get(url)
        found += [row["key"] for row in got.json()["rows"]]
        assert (got.json()["next"] is None) == ("next" not in got.links)
        url = got.links["next"]["url"] if got.links else None
    assert found == ["o6", "o3", "o0", "o4", "o1"]


def test_a_count_and_facets_are_told_if_they_are_asked_for(http: httpx.Client) -> None:
    """Of all pages; unasked they would take longer than the page."""
    got = http.get("/rows/order?customer__in=c7,c8&_count=exact&_facet=customer,status&_limit=1").json()
    assert (got["count"], got["more"], len(got["rows"])) == (5, False, 1)
    assert got["facets"]["customer"] == [{"value": "c7", "count": 3}, {"value": "c8", "count": 2}]
    assert sum(it["count"] for it in got["facets"]["status"]) == 5
    assert not {"count", "more", "facets"} & http.get("/rows/order").json().keys()


def test_a_capped_count_says_that_there_are_more(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends where nobody reads on."""
    for module in ("streams.query.query", "streams.server.readmodel.row_query"):
        monkeypatch.setattr(f"{module}.CAP", 3)
    got = http.get("/rows/order?_count=capped&_limit=0").json()
    assert (got["count"], got["more"]) == (3, True)
    assert http.get("/rows/order?_count=capped&_limit=0&_key__lte=o2").json()["more"] is False


def test_fields_are_selected(http: httpx.Client) -> None:
    """Key and version stay; a map is taken whole."""
    [row] = http.get("/rows/order?_key=o0&_select=held,customer").json()["rows"]
    assert row.keys() == {"key", "version", "row"}
    assert row["row"].keys() == {"held", "customer"}


@pytest.mark.parametrize("order", ["_key", "-_key", "-total", "customer,-_key"])
@pytest.mark.parametrize(("most", "pages"), [(1, 7), (500, None)])
def test_a_page_of_large_rows_ends_early_and_goes_on(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, order: str, most: int, pages: int | None
) -> None:
    """Whatever the limit is, though not before its first row. So a client that goes by `next` sees every row once."""
    address = f"/rows/order?_limit=1000&_sort={order}"
    whole = http.get(address).json()["rows"]
    monkeypatch.setattr(row_answers, "PAGE_BYTES", most)
    found, got = list[Any](), http.get(address)
    found.append(got.json()["rows"])
    while "next" in got.links:
        got = http.get(got.links["next"]["url"])
        found.append(got.json()["rows"])
    assert [row for page in found for row in page] == whole
    assert got.json()["next"] is None
    assert len(found) == pages if pages else 1 < len(found) < 7


def test_projections_are_asked_in_the_same_way(http: httpx.Client) -> None:
    """Their rows have no versions."""
    got = http.get("/projections/orders_per_day?_key__gte=2026-01-01&count__gt=6&_count=exact").json()
    assert [row["row"]["count"] for row in got["rows"]] == [7]
    assert http.get("/projections/orders_per_day?_form=csv").text.splitlines()[0] == "_key,count"


@pytest.mark.parametrize("given", [{"params": {"_form": "ndjson"}}, {"headers": {"Accept": "application/x-ndjson"}}])
def test_all_rows_come_as_lines(http: httpx.Client, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, of one moment, in the order of the list."""
    monkeypatch.setattr(row_answers, "AT_ONCE", 2)
    got = http.get("/rows/order", **given)
    assert got.headers["content-type"] == "application/x-ndjson"
    assert "Accept" in got.headers["vary"]
    assert "Retold-Position" in got.headers
    assert [json.loads(line) for line in got.text.splitlines()] == http.get("/rows/order").json()["rows"]


def test_a_table_is_read_by_a_spreadsheet(http: httpx.Client) -> None:
    """Names above, texts that a spreadsheet would compute behind a quotation mark, and what holds more as JSON."""
    got = http.get("/rows/order?_form=csv&_sort=-_key&_limit=3")
    head, *lines = csv.reader(io.StringIO(got.text))
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert head[:4] == ["_key", "_version", "customer", "status"]
    assert [line[0] for line in lines] == ["o6", "o5", "o4"]
    assert lines[1][2] == f"'{FORMULA}"
    assert json.loads(lines[1][head.index("held")]) == {}
    assert got.links["next"]["url"].startswith("/rows/order?_form=csv")


def test_the_form_is_the_one_that_the_client_likes_best(http: httpx.Client) -> None:
    """JSON for all that takes anything; a parameter comes before the header."""
    kinds = {
        "*/*": "application/json",
        "text/csv;q=0.5, application/json;q=0.9": "application/json",
        "text/html;q=0.5, text/csv;q=0.5, application/json;q=0.9": "application/json",
        "text/html, text/csv;q=0.5, application/json;q=0.9": "text/html; charset=utf-8",
        "text/csv": "text/csv; charset=utf-8",
        "text/csv;q=0, application/x-ndjson;q=0.1": "application/x-ndjson",
        "image/png": "application/json",
        "text/csv;q=x": "application/json",
    }
    found = {accept: http.get("/rows/order", headers={"Accept": accept}).headers["content-type"] for accept in kinds}
    assert found == kinds
    for form, kind in (("json", "application/json"), ("html", "text/html; charset=utf-8"), ("csv", "text/csv; charset=utf-8")):
        assert http.get(f"/rows/order?_form={form}", headers={"Accept": "text/csv"}).headers["content-type"] == kind


def test_a_list_that_takes_too_long_is_broken_off(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client sees that it is not whole, and the file's journal is not held for ever."""
    monkeypatch.setattr(row_stream, "LONGEST", -1.0)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/rows/order?_form=ndjson")


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_whole_result_that_is_sorted_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Before its first row: as a page of it is, and with the index to declare."""
    monkeypatch.setattr("streams.server.readmodel.query_limit.STEPS", 1)
    with MemoryServer(shop.app(), tmp_path, query_seconds="0.001") as server:
        server.kafka.writer._db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
            "insert into r_order(key, version, body, f_total) select 'k' || i, 1, '{}', i from n"
        )
        got = server.http.get(f"/rows/order?_form={form}&_sort=-total")
        assert_problem(got, 503, 'declare indexes=["-total"]')
        assert got.json()["type"] == "/-/problems/query-too-slow"


def test_whole_results_have_an_end_at_once(tmp_path: Path) -> None:
    """Eight clients that take nothing hold eight moments of the file: the ninth is refused, and pages are answered all the same."""
    with MemoryServer(shop.app(), tmp_path) as server:
        server.kafka.writer._db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
            "insert into r_order(key, version, body) select 'k' || i, 1, '{\"note\": \"' || hex(zeroblob(1000)) || '\"}' from n"
        )
        server.kafka.commit()
        held = ExitStack()
        for _ in range(FEW):
            got = held.enter_context(server.http.stream("GET", "/rows/order?_form=ndjson"))
            assert got.status_code == 200
        with held:
            assert_problem(server.http.get("/rows/order?_form=csv"), 503, "8 whole results are being sent")
            assert len(server.http.get("/rows/order").json()["rows"]) == 50
        until(lambda: server.http.get("/rows/order?_form=csv&_key=k1").status_code == 200, "no turn was given back")


def test_rows_that_do_not_read_are_counted_in_a_header(server: MemoryServer) -> None:
    """Where the form has rows alone, nothing else would say that some are left out."""
    db = server.kafka.writer._db
    db.execute("insert into r_order(key, version, problem) values('bad', 1, 'newer')")
    server.kafka.commit()
    try:
        for form in ("csv", "ndjson"):
            got = server.http.get(f"/rows/order?_form={form}")
            assert (got.headers["Retold-Unreadable"], "bad" in got.text) == ("1", False)
        assert server.http.get("/rows/order?_count=exact&_facet=customer").json()["count"] == 7
    finally:
        db.execute("delete from r_order where key = 'bad'")
        server.kafka.commit()
    assert "Retold-Unreadable" not in server.http.get("/rows/order?_form=csv").headers


@pytest.mark.parametrize(
    ("question", "kind", "field"),
    [
        ("totl=5", "unknown-field", "totl"),
        ("total__gte=abc", "wrong-value", "total__gte"),
        ("held__gt=1", "wrong-operator", "held__gt"),
        ("status__in=", "wrong-value", "status__in"),
        ("_sort=held", "not-sortable", "_sort"),
        ("_next=abc", "wrong-cursor", "_next"),
        ("total=1&total=2", "given-twice", "total"),
        ("&".join(f"total__ne={n}" if n == 0 else f"x{n}=1" for n in range(21)), "too-many-filters", "x20"),
        ("_form=xml", "wrong-value", "_form"),
        ("_form=csv&_count=exact", "wrong-value", "_count"),
    ],
)
def test_a_wrong_question_has_a_type_of_problem_with_a_page(http: httpx.Client, question: str, kind: str, field: str) -> None:
    """So a program knows what is wrong without reading the sentence, and a person finds what helps."""
    got = http.get(f"/rows/order?{question}")
    assert_problem(got, 422, field=field)
    assert got.json()["type"] == f"/-/problems/{kind}"
    assert http.get(got.json()["type"]).json()["title"] == got.json()["title"]


def test_the_cursor_of_a_page_is_refused_elsewhere(http: httpx.Client) -> None:
    """With another filter or order, or of another table."""
    following = http.get("/rows/order?_limit=1&customer=c7").json()["next"]
    for url in (f"/rows/order?_next={following}", f"/rows/order?customer=c8&_next={following}", f"/rows/stock?_next={following}"):
        assert http.get(url).json()["type"] == "/-/problems/wrong-cursor"
    assert keys(http, f"_limit=9&customer=c7&_next={following}") == ["o3", "o6"]


def test_every_type_of_problem_is_documented_and_has_a_page(http: httpx.Client) -> None:
    """From one table, in the words of the documentation; as a page for a browser, too."""
    documented = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    assert [it["name"] for it in http.get("/-/problems").json()["problems"]] == [it.name for it in PROBLEM_TYPES]
    for each in PROBLEM_TYPES:
        assert f"| `{each.name}` | {each.status} | {each.what} |" in documented
        page = http.get(each.url, headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert f"<h1>{each.title}</h1>" in page.text
        assert each.do in html.unescape(page.text)
    assert_problem(http.get("/-/problems/unknown-feild"), 404, "did you mean unknown-field?")


def test_an_address_has_an_end(http: httpx.Client) -> None:
    """Beyond it nothing is read of it; what is shorter may still be wrong."""
    got = http.get(f"/rows/order?customer__in={','.join(['c' * 80] * 102)}")
    assert_problem(got, 414, "at most 8192 are taken")
    assert got.json()["type"] == "/-/problems/address-too-long"
    assert http.get(f"/rows/order?customer__in={','.join(['c' * 70] * 102)}").json()["type"] == "/-/problems/wrong-value"


def test_a_position_beyond_the_end_says_where_the_log_ends(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of another cluster, and then no waiting helps."""
    monkeypatch.setattr("streams.server.http.answers.POSITION_TIMEOUT", 0.1)
    got = http.get("/rows/order?_min_position=order-0:99")
    assert_problem(got, 503, "stands at order-0:", "where the log ends as far as it knows", field="_min_position")
    assert got.json()["type"] == "/-/problems/not-reached"


def test_a_place_beyond_the_end_of_a_stream_has_its_type(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is to begin without it."""
    monkeypatch.setattr("streams.server.http.live.CATCH_UP_TIMEOUT", 0.1)
    assert http.get("/live/order", headers={"Last-Event-ID": "0:99"}).json()["type"] == "/-/problems/other-log"
