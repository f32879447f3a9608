"""How the rows of projections differ in a branch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import Event, Projection, Rejected, Tables, View, required
from streams.errors import DefinitionError
from streams.history.branch.branch import Branch, what_if
from streams.history.branch.branch_projections import ProjectionChanges, projection_changes
from streams.history.branch.branch_tables import compare_views
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.difference_members import view_changes
from streams.history.difference.row_changes import MISSING
from streams.history.past import ErasedEvent, MemoryPast, Past
from streams.history.past_tables import PastTables
from tests.applications.shop.events import (
    Line,
    OrderPaid,
    OrderPlace,
    OrdersPerDayRow,
    PaymentCharge,
    StockReceive,
    StockReserve,
)
from tests.support.pasts import answered, made, past_of
from tests.unit.test_branch import a_change, roots_of

some = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
in_order = Projection("in_order", row=OrdersPerDayRow)


@in_order.folds(OrderPlace, key=lambda event: event.data.lines[0].sku)
@in_order.folds(StockReserve, key=lambda event: event.key)
@in_order.folds(OrderPaid, key=lambda _: "paid")
def follow(row: OrdersPerDayRow | None, event: Event[Any]) -> OrdersPerDayRow | None:
    """Each order of its events gives another number, and now and then the row is deleted."""
    count = crc32(f"{row} {event.id} {event.data}".encode())
    return None if count % 5 == 0 else OrdersPerDayRow(count=count)


def a_shop(seed: int, *more: Projection[Any]) -> tuple[Any, Past, ApplicationHandlers]:
    chosen, there = made("shop", seed)
    app = replace(there.app, projections=[*there.app.projections, *more])
    return chosen, past_of(there), ApplicationHandlers(app, there.codec)


def asked(past: Past, found: Branch, handlers: ApplicationHandlers, **options: Any) -> ProjectionChanges:
    waiting = {it.reference for it in found.difference.open}
    return projection_changes(
        past, found.past, found.rows, handlers.app.projections, handlers.codec, waiting=waiting, **options
    )


def told(changes: ProjectionChanges) -> Sequence[tuple[Any, ...]]:
    assert changes.untold == {}
    return [it[:4] for it in changes.changes]


def a_shops_change(chosen: random.Random, past: Past) -> Change:
    """Also with an order of other lines, which keeps its place."""
    change = a_change("shop", chosen, past)
    orders = [it for it in roots_of(past) if isinstance(it.event.data, OrderPlace) and it.exact_name not in change.remove]
    if not orders:
        return change
    it = chosen.choice(orders)
    other = OrderPlace(order=it.key, customer="c", lines=(Line(sku=chosen.choice("xyz"), quantity=2),))
    return Change(change.insert, change.remove, {it.exact_name: other})


@some
@given(st.integers(0, 10**6), st.booleans())
def test_they_are_what_both_pasts_fold(seed: int, with_answers: bool) -> None:
    """Exactly the rows that are otherwise, whatever the order of events means to the fold."""
    chosen, past, handlers = a_shop(seed, in_order)
    found = what_if(past, handlers, a_shops_change(chosen, past), answers=answered if with_answers else None)
    before, after = (PastTables(each, handlers).projections for each in (past, found.past))
    otherwise = [
        (name, key, before[name].get(key), after[name].get(key))
        for name in sorted(before)
        for key in sorted({*before[name], *after[name]})
        if before[name].get(key) != after[name].get(key)
    ]
    assert told(asked(past, found, handlers)) == otherwise


def without_an_order(seed: int = 4) -> tuple[Past, Branch, ApplicationHandlers]:
    _, past, handlers = a_shop(seed, in_order)
    root = next(it for it in roots_of(past) if it.event_type == "order.place")
    return past, what_if(past, handlers, Change(remove=frozenset([root.reference]))), handlers


def test_a_branch_that_changes_no_event_folds_nothing() -> None:
    """Nothing is read for it."""
    past, _, handlers = without_an_order()
    same = what_if(past, handlers, Change())
    assert asked(past, same, handlers, most=0) == ProjectionChanges([], {})


def test_a_projection_that_raises_or_needs_too_much_is_not_told() -> None:
    """It is named, with the event; the others are told."""
    past, found, handlers = without_an_order()
    changes = asked(past, found, handlers, most=3)
    assert changes.changes == []
    assert "more than 3 events" in changes.untold["orders_per_day"]

    for name, error in (("raising", ValueError("it is o2")), ("ending", SystemExit("it is o2"))):
        handlers.app.projections.append(failing(name, error))
    changes = asked(past, found, handlers)
    assert [it.projection for it in changes.changes if it.projection == "orders_per_day"]
    assert "raises ValueError: it is o2 at order.place 'o2'" in changes.untold["raising"]
    assert "raises SystemExit: it is o2 at order.place 'o2'" in changes.untold["ending"]


def failing(name: str, error: BaseException) -> Projection[OrdersPerDayRow]:
    """It raises at the order o2."""
    projection = Projection(name, row=OrdersPerDayRow)

    @projection.folds(OrderPlace, key=lambda _: "all")
    def fails(row: OrdersPerDayRow | None, event: Event[Any]) -> OrdersPerDayRow:
        if event.key == "o2":
            raise error
        return OrdersPerDayRow(count=1)

    return projection


def test_what_waits_for_an_answer_is_open() -> None:
    """A row to which only such events lead."""
    paid = Projection("paid", row=OrdersPerDayRow)
    paid.folds(OrderPaid, key=lambda event: event.key)(lambda _, __: OrdersPerDayRow(count=1))
    _, past, handlers = a_shop(4, paid)
    charge = next(it for it in past.events() if isinstance(it.event.data, PaymentCharge) and it.accepted)
    placed = next(it for it in roots_of(past) if it.key == charge.key)
    lines = tuple(Line(sku=line.sku, quantity=line.quantity + 1) for line in placed.event.data.lines)
    dear = OrderPlace(order=placed.key, customer="c", lines=lines)
    more = {
        it.reference: StockReceive(sku=it.key, quantity=99, price=3)
        for it in roots_of(past)
        if it.event_type == "stock.receive"
    }
    found = what_if(past, handlers, Change(replace={placed.reference: dear, **more}))
    assert found.difference.waiting
    changes = {it.key: it for it in asked(past, found, handlers).changes if it.projection == "paid"}
    assert changes[placed.key] == ("paid", placed.key, OrdersPerDayRow(count=1), None, True)


def test_a_view_without_an_answer_says_where_it_has_none() -> None:
    """In the past, in the branch, or in both: that is no difference if it is for the same reason."""
    past, found, handlers = without_an_order()
    root = next(it for it in roots_of(past) if it.event_type == "order.place")
    space = next(it for it in handlers.app.namespaces if it.name == "order")

    def customer(tables: Tables, order: str) -> str:
        return required(tables.of(space).get(order), f"there is no order {order}").customer

    def gone(tables: Tables, order: str) -> str:
        if order in tables.of(space):
            raise Rejected(f"{order} is there")
        return "gone"

    def counted(tables: Tables) -> None:
        raise Rejected(f"{len(tables.of(space))} orders")

    handlers.app.views.extend([View("customer/{order}", customer), View("gone/{order}", gone), View("counted", counted)])
    compare_views(past, found, handlers, [f"customer/{root.key}", "customer/none", f"gone/{root.key}", "counted"])
    untold = found.difference.untold_views
    why = untold.pop(f"customer/{root.key}")
    assert why.endswith(f"has no answer: there is no order {root.key}; that is so in the branch alone")
    assert untold.pop(f"gone/{root.key}").endswith(f"has no answer: {root.key} is there; in the branch it has one")
    assert "; in the branch, the view counted has no answer: " in untold.pop("counted")
    assert (untold, found.difference.views) == ({}, [])


def test_an_erased_event_is_not_folded_around() -> None:
    """What a projection of its namespace would be is not known."""
    past, found, handlers = without_an_order()
    gone = next(it for it in past.events() if it.event_type == "order.place" and it.key == "o3")

    class Erased(MemoryPast):
        def first_erased(self, place: Any) -> Any:
            return ErasedEvent(gone.order.sequence, None, None) if place == gone.place else None

        def erased_keys(self, namespace: str) -> Sequence[str]:
            return ["o3"] if namespace == "order" else []

    changes = asked(Erased(past.events()), found, handlers)
    assert "'o3' of order cannot be told" in changes.untold["orders_per_day"]


def test_a_view_answers_otherwise() -> None:
    """Of those that were asked for; one that raises says so, and one that is none is refused."""
    past, found, handlers = without_an_order()

    def fails(tables: object) -> object:
        raise ValueError("no such thing")

    handlers.app.views.extend([View("fails", fails), View("odd", lambda _: object()), View("constant", lambda _: 7)])
    compare_views(past, found, handlers, ["orders-of/c", "orders-of/nobody", "fails", "odd", "constant", "orders-of/c"])
    [view] = found.difference.views
    root = next(it for it in roots_of(past) if it.event_type == "order.place")
    assert view.path == "orders-of/c"
    assert {it.field: it.after for it in view_changes(view)}[f"answer.{root.key}"] == MISSING
    untold = found.difference.untold_views
    assert untold.keys() == {"fails", "odd"}
    assert "the view fails raises ValueError: no such thing" in untold["fails"]
    found.difference.views.clear()
    compare_views(past, found, handlers, ["orders-of/c"], most=3)
    assert not found.difference.views
    assert "more than 3 events" in untold["orders-of/c"]
    with pytest.raises(DefinitionError, match="no view 'orders-for/c'"):
        compare_views(past, found, handlers, ["orders-for/c"])
