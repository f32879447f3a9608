"""An event of the past as somebody names it: by its id, its position in the log, or its offset in the inbox."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams import App, Event, Outcome
from streams.errors import NoSuchEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.named_event import event_named, place_named
from streams.history.story.story import Storyteller
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive, StockReserve, StockRow
from tests.support.partitions import Partitions
from tests.support.stored_pasts import stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reserve(row: StockRow | None, event: Event[StockReserve]) -> Outcome[StockRow]:
    raise KeyError(f"\x1b[2J{event.data.sku}")


def broken() -> App:
    """The shop, whose stock cannot reserve anything."""
    app = shop.app()
    spaces = [copy.copy(space) for space in app.namespaces]
    for space in spaces:
        space.handlers = {data: reserve if data is StockReserve else of for data, of in space.handlers.items()}
    return replace(app, namespaces=spaces)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[tuple[App, StoredPast, StoredWaiting]]:
    """A delivery twice under one id, two events of one id, and a reservation that is parked."""
    app = broken()
    partitions = Partitions(app, 1, now=NOW)
    for sku in "xx":
        partitions.publish(StockReceive(sku=sku, quantity=5, price=3), "receive-1", NOW)
    partitions.publish(StockReceive(sku="y", quantity=5, price=3), "both", NOW)
    partitions.publish(OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),)), "both", NOW)
    partitions.settle()
    with closing(stored(partitions, tmp_path)) as store:
        db = store._db
        db.execute("insert into duplicate(ns, part, inbox, seq, outcome) values('stock', 0, 1, 1, 'accepted')")
        yield app, StoredPast(db, partitions.codec), StoredWaiting(db, partitions.codec)


def test_an_event_has_three_names(there: tuple[App, StoredPast, StoredWaiting]) -> None:
    """Its id, its position in the log, and its offset in the inbox; a duplicate's offset is that of the first one."""
    app, past, waiting = there
    first = past.at("stock", 0, 1)
    assert first is not None
    for name in ("receive-1", "stock-0:1", "stock-0@0", "stock-0@1"):
        assert event_named(past, waiting, app, name) == first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "has no event 'nothing'. An event is named by its id"),
        ("stock-0:99", "has no event 'stock-0:99'"),
        ("stock-9:1", "has no event 'stock-9:1'"),
        ("nowhere-0:1", "has no event 'nowhere-0:1'; .* has no namespace 'nowhere'"),
        ("stok-0:1", r"has no event 'stok-0:1' \(did you mean stock-0:1\?\)"),
        ("order/o1", "'order/o1' names a row, and an event was expected: `retold story order/o1` shows its events"),
        ("charges/o1", "charges is a projection, and no event is about its rows alone"),
        ("ordr/o1", r"has no event 'ordr/o1' \(did you mean order/o1\?\)"),
        ("\x1b[2J", r"has no event"),
        ("", "has no event ''"),
        ("x" * 5_000, "has no event"),
        ("both", r"several events have the id 'both': .*\(stock.receive y of test\).*Name one by its position, such as"),
        ("stock-0@3", r"stock.reserve x is parked since 2026-01-01 00:00:00Z, .*`retold parked show stock-0@3` says more"),
    ],
)
def test_a_name_of_no_one_event_is_a_sentence(
    there: tuple[App, StoredPast, StoredWaiting], name: str, words: str
) -> None:
    """What is known of it, and what to do; control characters are spelt, and it is not long."""
    app, past, waiting = there
    with pytest.raises(NoSuchEvent, match=words) as refused:
        event_named(past, waiting, app, name)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_what_is_set_aside_is_told_under_its_cause(there: tuple[App, StoredPast, StoredWaiting]) -> None:
    """And of its row."""
    app, past, waiting = there
    teller = Storyteller(past, ApplicationHandlers(app, past._codec), waiting)
    [placed] = past.key_events(("order", "o1"))
    waits = teller.of_event(placed, 10).step.waits
    assert [(it.kind, it.event_type, it.where) for it in waits] == [
        ("parked", "stock.reserve", "stock-0@3"), ("timer", "order.expire", ""),
    ]  # fmt: skip
    row = teller.of_key(("stock", "x"), 1, 10)
    assert row is not None
    assert [it.kind for it in row.waits] == ["parked"]


def test_a_cause_that_was_erased_is_said_to_be_lost(there: tuple[App, StoredPast, StoredWaiting]) -> None:
    """What followed from it is still told."""
    app, past, waiting = there
    [placed] = past.key_events(("order", "o1"))
    past._db.execute("update record set causeh = 5, headers = ? where ns = 'order'", (headers_of_a_lost_cause(),))
    [placed] = past.key_events(("order", "o1"))
    story = Storyteller(past, ApplicationHandlers(app, past._codec), waiting).of_event(placed, 10)
    assert (story.causes, story.lost) == ([], "0b1c0000-0000-4000-8000-000000000001")


def headers_of_a_lost_cause() -> bytes:
    from streams.history.stored.kept_headers import packed

    return packed([("ce_causationid", b"0b1c0000-0000-4000-8000-000000000001"), ("ce_time", b"2026-01-01T00:00:00+00:00")])


def test_a_row_is_named_by_namespace_and_key() -> None:
    """A key may have slashes; what begins with no namespace is an event's id."""
    app = shop.app()
    assert place_named(app, "order/o1/x") == ("order", "o1/x")
    assert [place_named(app, name) for name in ("o1", "order/", "nowhere/o1")] == [None, None, None]
