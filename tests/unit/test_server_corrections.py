"""A server whose past was corrected: its rows are the corrected ones, and its projections are folded again."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streams.history.branch.change import InsertedEvent
from streams.history.stored.stored_corrections import kept_corrections, put_corrections
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.html_page import HtmlForm, HtmlPage
from tests.support.memory_server import MemoryServer

TAKEN = ("stock.correction-step", "corrected", "ann", "a test order")
"""Type and outcome of the step that corrects the stock, and by whom it is and why."""


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """Two orders, of which the first is taken out."""
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        kafka = server.kafka
        kafka.publish(StockReceive(sku="A1", quantity=5, price=300), id="receive")
        for number in (1, 2):
            kafka.publish(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="A1", quantity=1),)), id=f"place-{number}")
            kafka.world.settle()
        kafka.show()
        yield server


def corrected(server: Any) -> None:
    world = server.kafka.world
    server.kafka.correct(world.history().correct(remove=["place-1"], by="ann", why="a test order"))


def test_rows_are_the_corrected_ones(server: Any) -> None:
    """With the version that the step gave them; a row that should not be is gone."""
    before = server.http.get("/rows/stock/A1")
    assert before.json()["row"]["free"] == 3
    corrected(server)
    after = server.http.get("/rows/stock/A1")
    assert after.json()["row"]["free"] == 4
    assert after.headers["ETag"] != before.headers["ETag"]
    assert server.http.get("/rows/order/o1").status_code == 404


def test_a_projection_says_that_it_is_not_corrected_yet(server: Any) -> None:
    """In each answer that is made from it, and in no other, until it is folded again."""
    addresses = ("/projections/orders_per_day", "/projections/orders_per_day/2026-01-01", "/rows/stock")
    assert [server.http.get(it).headers.get("Retold-Uncorrected") for it in addresses] == [None] * 3
    corrected(server)
    names = [server.http.get(it).headers.get("Retold-Uncorrected") for it in addresses]
    assert names == ["orders_per_day", "orders_per_day", None]
    assert told_why(server) == "what corrections make of it is being looked at"
    server.kafka.fold_again()
    assert told_why(server) is None
    assert [server.http.get(it).headers.get("Retold-Uncorrected") for it in addresses] == [None] * 3


def told_why(server: Any) -> str | None:
    why: str | None = server.http.get("/-/status").json()["server"]["projections"]["orders_per_day"]["uncorrected"]
    return why


def test_projections_are_folded_over_the_corrected_past(server: Any) -> None:
    """The order that was taken out is in none of them, and what comes later is."""
    address = "/projections/orders_per_day"

    def counts() -> list[int]:
        return [it["row"]["count"] for it in server.http.get(address).json()["rows"]]

    assert counts() == [2]
    corrected(server)
    server.kafka.fold_again()
    assert counts() == [1]
    server.kafka.publish(OrderPlace(order="o3", customer="c", lines=(Line(sku="A1", quantity=1),)), id="place-3")
    assert counts() == [2]


def test_the_story_and_the_events_have_the_step(server: Any) -> None:
    """As `corrected`, with who has corrected, and why."""
    corrected(server)
    story = server.http.get("/rows/stock/A1/story").json()
    [step] = [it for it in story["events"] if it["kind"] == "step"]
    assert (step["type"], step["outcome"], step["by"], step["reason"]) == TAKEN
    assert server.http.get(f"/events/{step['position']}/story").json()["event"]["outcome"] == "corrected"
    listed = server.http.get("/events?_limit=100").json()["events"]
    [listed_step] = [it for it in listed if it["position"] == step["position"]]
    assert (listed_step["type"], listed_step["outcome"], listed_step["by"], listed_step["reason"]) == TAKEN
    at = server.http.get(f"/events/stock/{listed_step['partition']}/{listed_step['offset']}").json()
    assert (at["outcome"], at["position"]) == ("corrected", step["position"])


def test_events_are_chosen_by_an_outcome_of_three(server: Any) -> None:
    """Each event has one of them; another outcome is refused with their names."""
    corrected(server)
    every = server.http.get("/events?_limit=100").json()["events"]
    for outcome in ("accepted", "rejected", "corrected"):
        found = server.http.get(f"/events?_limit=100&outcome={outcome}").json()["events"]
        assert found == [it for it in every if it["outcome"] == outcome]
    assert {it["kind"] for it in found} == {"step"}
    refused = server.http.get("/events?outcome=good")
    assert refused.status_code == 422
    assert "accepted, rejected or corrected was expected" in refused.json()["detail"]


def test_pages_say_by_whom_a_row_was_corrected_and_why(server: Any) -> None:
    """The row's, the step's own, and the list of events; none shows the bytes of the row."""
    corrected(server)
    [step] = server.http.get("/events?outcome=corrected&type=stock.correction-step").json()["events"]
    addresses = ("/rows/stock/A1", f"/events/{step['position']}/story", "/events", "/live")
    for address in addresses:
        page = HtmlPage(server.http.get(address, headers={"Accept": "text/html"}).text)
        assert "corrected by ann: a test order" in page.text, address
    own = HtmlPage(server.http.get(addresses[1], headers={"Accept": "text/html"}).text)
    assert "A correction: ann changed the past" in own.text
    assert not {"row", "added", "dropped"} & {*own.texts("dt")}


def test_what_was_put_in_and_taken_out_again_has_its_story(server: Any) -> None:
    """With both corrections, also on its page; what nobody has put in has none."""
    world = server.kafka.world
    order = OrderPlace(order="o9", customer="c", lines=(Line(sku="A1", quantity=1),))
    server.kafka.correct(world.history().correct(insert=[InsertedEvent(order, world.now, "put")], by="ann", why="missing"))
    server.kafka.correct(world.history().correct(remove=["put"], by="bob", why="a mistake"))
    event = server.http.get("/events/put/story").json()["event"]
    assert [(it["what"], it["by"]) for it in event["corrections"]] == [("put in", "ann"), ("taken out", "bob")]
    assert {it["type"] for it in event["effects"]} == {"stock.reserve"}
    page = HtmlPage(server.http.get("/events/put/story", headers={"Accept": "text/html"}).text).text
    assert re.search("Put in .* by the correction of ann: missing", page)
    assert re.search("Taken out .* by the correction of bob: a mistake", page)
    assert server.http.get("/events/nobody/story").status_code == 404


def test_pages_of_a_projection_say_that_it_is_not_corrected_yet(server: Any) -> None:
    """In words, as its JSON does in a header; no page of rows does, and none before."""
    addresses = ("/projections/orders_per_day", "/projections/orders_per_day/2026-01-01", "/rows/stock")

    def said() -> list[bool]:
        texts = [HtmlPage(server.http.get(it, headers={"Accept": "text/html"}).text).text for it in addresses]
        return ["It is so of orders_per_day." in it for it in texts]

    assert said() == [False] * 3
    corrected(server)
    assert said() == [True, True, False]
    server.kafka.fold_again()
    assert said() == [False] * 3


def test_the_pages_of_a_corrected_event_say_what_became_of_it(server: Any) -> None:
    """By whom and why, with its other data, on its page and in the row's story; its forms begin with what counts now."""
    own = "/events/receive/story"
    assert "Replaced" not in server.http.get(own, headers={"Accept": "text/html"}).text
    world = server.kafka.world
    data = StockReceive(sku="A1", quantity=50, price=300)
    server.kafka.correct(world.history().correct(replace={"receive": data}, by="ann", why="a zero was missing"))
    for address in (own, "/rows/stock/A1"):
        page = HtmlPage(server.http.get(address, headers={"Accept": "text/html"}).text)
        assert re.search(r"Replaced \S+ .* by the correction of ann: a zero was missing. Instead:", page.text), address
    form = next(it for it in page_forms(server, own) if "replace" in it.fields and it.action == "/corrections")
    assert '"quantity": 50' in form.fields["data"]


def test_a_story_says_when_an_event_happened_if_it_was_handled_much_later(server: Any) -> None:
    """As `retold story` does; where both are the same minute, only one of them is told."""
    page = HtmlPage(server.http.get("/rows/stock/A1", headers={"Accept": "text/html"}).text)
    assert "happened 20" not in page.text
    late = StockReceive(sku="L1", quantity=1, price=1)
    server.kafka.publish(late, id="late", time=server.kafka.world.now - timedelta(hours=2))
    server.kafka.show()
    page = HtmlPage(server.http.get("/rows/stock/L1", headers={"Accept": "text/html"}).text)
    assert "happened 20" in page.text


def page_forms(server: Any, address: str) -> list[HtmlForm]:
    return HtmlPage(server.http.get(address, headers={"Accept": "text/html"}).text).forms


def test_corrections_whose_topic_is_gone_are_known_on(server: Any) -> None:
    """What is told of the past stays as it was, and what is wrong is said. One that has set no row may go."""
    corrected(server)
    server.kafka.store.completed()
    db = server.kafka.store._db
    [known] = kept_corrections(db)
    before = server.http.post("/what-if", json={"remove": ["place-2"]}).text
    assert put_corrections(db, [*kept_corrections(db), replace(known, correction="planned and withdrawn")]) is None
    assert put_corrections(db, [known]) is None
    said = put_corrections(db, [])
    assert f"the topic retold-corrections does not have the correction {known.correction} any more" in str(said)
    assert [*kept_corrections(db)] == [known]
    assert server.http.post("/what-if", json={"remove": ["place-2"]}).text == before


def test_a_past_with_steps_of_a_correction_that_is_not_known_is_not_told_otherwise(server: Any) -> None:
    """As in a file that was read anew after the topic was deleted: no branch is made of it. Rows of today are as they are."""
    corrected(server)
    server.kafka.store.completed()
    server.kafka.store._db.execute("delete from meta where name = 'corrections'")
    refused = server.http.post("/what-if", json={"remove": ["place-2"]})
    assert refused.status_code == 422
    assert "the topic retold-corrections was deleted or made again: bring it back from a backup" in refused.json()["detail"]
    assert server.http.get("/rows/stock/A1").json()["row"]["free"] == 4
    assert server.http.get("/rows/stock/A1/story").status_code == 200


def test_the_described_outcomes_are_those_that_are_told(server: Any) -> None:
    """A client that was made from the OpenAPI reads a step."""
    paths = server.http.get("/openapi.json").json()["paths"]
    listed = paths["/events"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "corrected" in listed["properties"]["events"]["items"]["properties"]["outcome"]["enum"]
    told = paths["/events/{event}/story"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    event = told["properties"]["event"]["properties"]
    assert "corrected" in event["outcome"]["enum"]
    assert "step" in event["kind"]["enum"]
