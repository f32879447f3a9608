"""The public class History: the past of a file and of a World, asked from Python."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import History, Rejected
from streams.cli.commands.when import when
from streams.engine.times import to_micros
from streams.errors import (
    BeforeHistory,
    CodeChanged,
    DefinitionError,
    HistoryError,
    InvalidChange,
    InvalidEvent,
    NoSuchEvent,
    RowsLeftOut,
)
from streams.history.branch.branch import what_if
from streams.history.branch.change import InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.comparison import compare
from streams.history.difference.difference import Difference
from streams.history.past_tables import PastTables
from streams.history.recorded_event import RecordedEvent
from streams.history.stored.stored_events import COLUMNS
from streams.testing import START, World
from streams.testing.world_waiting import WorldWaiting
from tests.applications import bank, shop, timed
from tests.applications.bank.events import AccountDebit, AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderPlace, PaymentCharged, StockReceive
from tests.applications.timed.events import AlarmTouch
from tests.support.other_code import refusing, row_with, with_change
from tests.support.pasts import KINDS, answered, made, past_of
from tests.support.stored_pasts import edited, exported
from tests.unit.test_branch import a_change

CASES = int(os.environ.get("BRANCH_CASES", "10"))
some = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
BY_INDEX = {"ns = 'a' and key = 'b'": "record_by_key", "idh = 1": "record_by_id", "causeh = 1": "record_by_cause"}
MINUTE = timedelta(minutes=1)


def a_shop() -> World:
    """Two orders for the same goods, a minute apart; the second one is refused."""
    world = World(shop.app())
    world.when(StockReceive(sku="A1", quantity=5, price=300), id="receive-1")
    for number, quantity in ((1, 2), (2, 4)):
        world.advance(MINUTE)
        line = Line(sku="A1", quantity=quantity)
        world.when(OrderPlace(order=f"o{number}", customer="c7", lines=(line,)), id=f"place-{number}")
        world.settle()
    return world


@pytest.fixture
def world() -> World:
    return a_shop()


def test_a_worlds_history_has_its_rows_and_its_log(world: World) -> None:
    """Tables, projections and views are what the World says, folded again."""
    history = world.history()
    for source in (shop.order, shop.stock, shop.payment, shop.orders_per_day):
        assert dict(history.table(source)) == dict(world.table(source))
    assert history.view("orders-of/c7") == world.view("orders-of/c7")
    assert len(history) == sum(len(world.log(space.name)) for space in world.app.namespaces)
    assert [it.event.id for it in history.events() if it.kind == "root"] == ["receive-1", "place-1", "place-2"]


def test_a_history_ends_where_it_was_asked_for(world: World) -> None:
    """What is handled afterwards is not in it."""
    history = world.history()
    world.when(StockReceive(sku="B2", quantity=1, price=1))
    assert "B2" not in history.table(shop.stock)
    assert "B2" in world.history().table(shop.stock)


def test_when_takes_a_text_or_a_function(world: World) -> None:
    """Both find the same events; of a row that never was there are none."""
    history = world.history()
    by_text = history.when(shop.order, "o1", "status == 'paid'")
    by_function = history.when(shop.order, "o1", lambda row: row.status == "paid")
    assert [(it.event.event_type, it.holds) for it in by_text] == [("order.paid", True)]
    assert by_function == by_text == history.when("order", "o1", "status == 'paid'")
    assert history.when(shop.order, "nothing", "status == 'paid'") == []
    assert [it.holds for it in history.when(shop.order, "o1", "row is None")] == [False]
    with pytest.raises(HistoryError, match=r"the condition 'broken' cannot be asked after order-0:1 .*ZeroDivisionError"):
        history.when(shop.order, "o1", broken)
    with pytest.raises(InvalidEvent, match="asks for 'state', which is no field"):
        history.when(shop.order, "o1", "state == 1")
    with pytest.raises(DefinitionError, match="has no namespace 'ordr'"):
        history.when("ordr", "o1", "status == 'paid'")


def broken(row: object) -> bool:
    return 1 // (row is None) == 0


def test_stories_of_events_and_rows(world: World) -> None:
    """The same that `retold story` tells."""
    history = world.history()
    story = history.story("place-2")
    [reserve] = story.step.effects
    assert (reserve.event.reason, [it.event.event_type for it in reserve.effects]) == (
        "not enough in stock", ["order.line_refused"],
    )  # fmt: skip
    assert [it.event.event_type for it in history.story("order-0:5").causes] == ["order.place", "stock.reserve"]
    of_row = history.row_story(shop.order, "o1", last=1)
    assert (of_row.row, of_row.earlier) == (world.table(shop.order)["o1"], 2)
    with pytest.raises(NoSuchEvent, match="nothing ever happened to it"):
        history.row_story("order", "nothing")


def test_a_worlds_story_says_what_waits() -> None:
    """Timers, with what scheduled them; an event whose handler raised, and what is parked behind it."""
    world = World(timed.app())
    world.when(AlarmTouch(name="a", number=1, after=2, other="z"), id="touch-1")
    world.when(AlarmTouch(name="b", number=99, after=0, other=""), id="touch-2")
    world.when(AlarmTouch(name="b", number=1, after=0, other=""), id="touch-3")
    history = world.history()
    waits = history.story("touch-1").step.waits
    assert [(it.kind, it.event_type, it.namespace, it.key) for it in waits] == [
        ("timer", "alarm.ring", "alarm", "a"), ("timer", "bell.ring", "bell", "z"),
    ]  # fmt: skip
    assert {it.at for it in waits} == {to_micros(START + timedelta(hours=2))}
    [ring] = history.row_story("alarm", "a").waits
    assert ring == waits[0]
    parked = WorldWaiting(world._codec, world._run.spaces.values()).of_key(("alarm", "b"), 50)
    assert [(it.kind, it.id, it.where) for it in parked] == [
        ("parked", "touch-2", "alarm-0@1"), ("parked", "touch-3", "alarm-0@2"),
    ]  # fmt: skip
    assert "ZeroDivisionError" in str(parked[0].reason)


def test_a_call_that_failed_waits_for_an_answer() -> None:
    """In the story of its request."""
    world = World(shop.app(), answers=lambda _: None)
    world.when(StockReceive(sku="A1", quantity=5, price=300))
    world.when(OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=2),)))
    world.settle()
    [waiting] = world.history().story("payment-0:1").step.waits
    assert (waiting.kind, waiting.event_type, waiting.key) == ("unanswered", "payment.charge", "o1")


def test_as_of_a_time(world: World) -> None:
    """What had happened, and what was known by then; a time without a zone is refused."""
    history = world.history()
    early = history.as_of(START + MINUTE + timedelta(seconds=1))
    assert [*early.table(shop.order)] == ["o1"]
    assert early.table(shop.stock)["A1"].free == 3
    assert [*history.as_of(known=START).table(shop.order)] == []
    with pytest.raises(InvalidEvent, match=r"at is .* which has no time zone"):
        history.as_of(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(NoSuchEvent, match="this past has no event 'place-2'"):
        early.event("place-2")


def test_a_branch_is_a_history(world: World) -> None:
    """With its difference, and what gateways would be asked; of it there are branches again."""
    history = world.history()
    branch = history.what_if(remove=["place-1"])
    found = branch.difference()
    assert [it.event_type for it in found.waiting] == ["payment.charge"]
    assert found is branch.difference(history)
    assert branch.table(shop.order)["o2"].status == "paying"
    assert "o1" not in branch.table(shop.order)
    assert branch.as_of(START + MINUTE + MINUTE / 2).table(shop.stock)["A1"].free == 5
    paid = history.what_if(remove=["place-1"], answers=lambda it: PaymentCharged(order=it.key, receipt="r"))
    assert paid.table(shop.order)["o2"].receipt == "r"
    back = branch.what_if(insert=[InsertedEvent(**again(history.event("place-1")))])
    assert back.table(shop.stock)["A1"].free == 3
    assert told(back.difference(history)) == ([], [], [], [])
    with pytest.raises(HistoryError, match="this past is no branch"):
        history.difference()


def again(it: RecordedEvent) -> dict[str, Any]:
    return {"data": it.event.data, "time": it.event.time, "id": it.event.id, "source": it.event.source}


def told(found: Difference) -> tuple[list[Any], ...]:
    return found.missing, found.surplus, found.changed, found.rows


def test_events_are_put_in_and_replaced_by_their_names(world: World) -> None:
    """A pair of data and time is enough; behind another event, that one is named."""
    history = world.history()
    more = StockReceive(sku="A1", quantity=5, price=300)
    for insert in ((more, START), InsertedEvent(more, START, after="receive-1")):
        assert history.what_if(insert=[insert]).table(shop.order)["o2"].status == "paying"
    branch = history.what_if(replace={"receive-1": StockReceive(sku="A1", quantity=1, price=300)})
    assert branch.table(shop.order)["o1"].status == "cancelled"
    with pytest.raises(NoSuchEvent, match="no event 'receive-7'"):
        history.what_if(remove=["receive-7"])
    with pytest.raises(HistoryError, match=r"it follows from order\.place order-0:1"):
        history.what_if(remove=["order-0:3"])
    with pytest.raises(InvalidChange, match=r"taken out is 'receive-1'; a list of names was expected, such as \['receive-1'\]"):
        history.what_if(remove="receive-1")
    with pytest.raises(InvalidChange, match=r"stock\.receive 'A1' is to be put in at no time; with its data a time was expected"):
        history.what_if(insert=[more])  # type: ignore[list-item]  # what is said about it
    with pytest.raises(DefinitionError, match="the table of 'order' was asked for by its name"):
        history.table("order")  # type: ignore[call-overload]  # as above


def test_other_code_is_a_branch_with_origins() -> None:
    """All is decided again by it; with a change as well, one is made of the other."""
    world = World(bank.app())
    world.when(AccountOpen(account="a", balance=100), id="open-a")
    world.when(AccountOpen(account="b", balance=0), id="open-b")
    world.when(TransferStart(transfer="t", source="a", target="b", amount=60), id="start")
    world.settle()
    history = world.history()
    fee = with_change(bank.app(), AccountDebit, row_with(balance=lambda balance: balance - 1))
    branch = history.what_if(code=fee)
    assert [(it.recorded.event_type, it.kind) for it in branch.difference().origins] == [("account.debit", "row")]
    assert branch.table(bank.account)["a"].balance == 39
    with pytest.raises(HistoryError, match="other events or other code, and not both"):
        history.what_if(remove=["start"], code=fee)
    both = history.what_if(remove=["start"]).what_if(code=fee)
    assert both.table(bank.account)["a"].balance == 100
    assert {it.place for it in both.difference(history).rows} == {("account", "a"), ("account", "b"), ("transfer", "t")}


def test_what_is_needed_is_found(world: World) -> None:
    """Of three events; without time none is left out."""
    found = world.history().shrink(shop.order, "o2", lambda row: row.status == "cancelled")
    assert ([it.event.id for it in found.events], found.ended) == (["place-2"], "whole")
    paid = world.history().shrink("order", "o1", "status == 'paid'", seconds=0)
    assert ([it.event.id for it in paid.events], paid.ended) == (["receive-1", "place-1"], "out of time")


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_two_pasts_are_compared_as_a_branch_differs_from_its_past(kind: str, seed: int) -> None:
    """Looking at both logs alone, however they came about."""
    chosen, there = made(kind, seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    branch = what_if(past, handlers, a_change(kind, chosen, past), answers=answered)
    known, found = branch.difference, compare(past, handlers, branch.past, handlers)
    if known.open or known.raised:
        return
    assert [[it.reference for it in events] for events in (found.missing, found.surplus)] == [
        [it.reference for it in sorted(events, key=lambda it: it.order)] for events in (known.missing, known.surplus)
    ]
    assert [(it.now.reference, it.what) for it in found.changed] == [(it.now.reference, it.what) for it in known.changed]
    assert found.rows == sorted(known.rows, key=lambda it: it.place)
    assert found.same == known.same


@pytest.fixture
def file(tmp_path: Path) -> tuple[Path, Any]:
    _, there = made("shop", 3)
    return exported(there, tmp_path), there


def test_a_file_is_asked_without_a_broker(file: tuple[Path, Any]) -> None:
    """It has the rows that there were; events are named as on the command line."""
    path, there = file
    with History.open(shop.app(), path) as history:
        assert dict(history.table(shop.order)) == there.rows("order")
        place = history.event("place-0")
        assert history.event(place.name) == place
        branch = history.what_if(remove=["place-0"])
        assert "o0" not in branch.table(shop.order)
        with pytest.raises(NoSuchEvent, match="is not in this past: it is later, or a change has taken it out"):
            branch.event("place-0")
        put_in = branch.what_if(insert=[InsertedEvent(place.event.data, place.event.time, "again")])
        assert put_in.event("again").place == ("order", "o0")
        assert len(history.as_of(known=place.event.time)) < len(history)
        assert told(history.as_of().difference(history)) == ([], [], [], [])


def test_a_file_is_searched_by_its_indexes(file: tuple[Path, Any]) -> None:
    """A key's records are not looked for among all of its namespace, nor an event among all."""
    path, _ = file
    with closing(sqlite3.connect(path)) as db:
        for condition, index in BY_INDEX.items():
            [found] = db.execute(f"explain query plan select {COLUMNS} from record where {condition}").fetchall()
            assert index in found[-1]


def test_what_a_file_cannot_answer_is_a_sentence(file: tuple[Path, Any], tmp_path: Path) -> None:
    """Once it is closed, of another application, from another thread, or not there."""
    path, _ = file
    with History.open(shop.app(), path) as history:
        table = history.table(shop.order)
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                table.get("o0")
            except HistoryError as error:
                errors.append(error)

        other = threading.Thread(target=ask)
        other.start()
        other.join(10)
        assert "another thread has opened it" in str(errors[0])
        with pytest.raises(HistoryError, match=r"what was known at 2200.* is not known yet: what is known for ever"):
            history.as_of(known=datetime(2200, 1, 1, tzinfo=UTC))
    for ask_it in (lambda: table.get("o0"), lambda: history.event("place-0"), lambda: [*history.events()]):
        with pytest.raises(HistoryError, match="it is closed"):
            ask_it()
    with pytest.raises(HistoryError, match="is the past of the application 'shop'; this is 'bank'"):
        History.open(bank.app(), path)
    with pytest.raises(HistoryError, match="there is no file"):
        History.open(shop.app(), tmp_path / "nothing")


def test_a_row_of_which_an_event_was_erased_is_not_asked(
    file: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without that event another row would be told; neither when, nor shrink, nor `retold when` does."""
    path, _ = file
    with edited(path) as db:
        [part, seq] = db.execute("select part, seq from record where ns = 'stock' and key = 'x' order by seq").fetchone()
        db.execute("delete from record where ns = 'stock' and part = ? and seq = ?", (part, seq))
        db.execute("insert into erased(ns, part, seq, key) values('stock', ?, ?, 'x')", (part, seq))
    sentence = f"the row 'x' of stock cannot be told: its event with the sequence {seq} was erased"
    with History.open(shop.app(), path) as history:
        for ask in (history.when, history.shrink):
            with pytest.raises(HistoryError, match=sentence):
                ask(shop.stock, "x", "free > 0")
        with pytest.warns(RowsLeftOut, match=f"one row is left out of stock, which cannot be told.*{sentence}"):
            assert set(history.table(shop.stock)) == {"y", "z"}
        tables = PastTables(history._past, history._handlers)
        for refused in (lambda: history.table(shop.stock)["x"], lambda: tables.whole("stock")):
            with pytest.raises(BeforeHistory, match=sentence):
                refused()
    monkeypatch.setenv("RETOLD_APP", "tests.applications.shop:app")
    with pytest.raises(HistoryError, match=sentence):
        when("stock", "x", "free > 0", history=path)
    with pytest.raises(typer.Exit) as ended:
        when("stock", "free > 0", None, all_rows=True, limit=None, history=path)
    assert ended.value.exit_code == 3
    assert f"Left out: {sentence}" in capsys.readouterr().err


def test_a_projection_that_an_erased_event_may_have_been_folded_into_is_refused(file: tuple[Path, Any]) -> None:
    """It would silently be without it."""
    path, _ = file
    with edited(path) as db:
        db.execute("insert into erased(ns, part, seq, key) values('order', 0, 99, 'o99')")
    with History.open(shop.app(), path) as history:
        with pytest.raises(BeforeHistory, match="the projection orders_per_day cannot be told: the row 'o99' of order"):
            history.table(shop.orders_per_day)
        history.table(shop.charges)


def test_a_table_tells_the_rows_that_the_code_can_tell(file: tuple[Path, Any]) -> None:
    """It warns of the others where it is read whole, and has a sentence for each; a view is refused."""
    path, there = file
    with History.open(with_change(shop.app(), OrderPlace, refusing({"o1"})), path) as history:
        table = history.table(shop.order)
        rest = {key: row for key, row in there.rows("order").items() if key != "o1"}
        assert table["o0"] == rest["o0"]
        for ask in (dict, lambda it: dict(it.items()), lambda it: it.where()):
            with pytest.warns(RowsLeftOut, match="one row is left out of order, which cannot be told"):
                assert ask(table) == rest
        with pytest.warns(RowsLeftOut):
            assert len(table) == len(list(table.values())) == len(rest)
        assert list(table.untold) == ["o1"]
        assert "order.place was accepted as order-" in table.untold["o1"]
        for refused in (lambda: table["o1"], lambda: table.get("o1"), lambda: history.view("orders-of/c")):
            with pytest.raises(CodeChanged, match="the row 'o1' of order cannot be told"):
                refused()
        assert history.table(shop.stock).untold == {}
        assert [row.count for row in history.table(shop.orders_per_day).values()] == [len(rest) + 1]


def test_what_one_of_two_pasts_cannot_tell_does_not_keep_the_rest_from_being_compared(file: tuple[Path, Any]) -> None:
    """The row is untold, with the event that is refused and why; the others are compared."""
    path, _ = file
    world = a_shop()
    mine = with_change(shop.app(), OrderPlace, refusing({"o1"}))
    with History.open(mine, path) as theirs:
        found = world.history().difference(theirs)
        whole = world.history().difference(History.open(shop.app(), path))
    assert [it.place for it in found.untold] == [("order", "o1")]
    [untold] = found.untold
    assert untold.recorded is not None
    assert untold.recorded.event_type == "order.place"
    assert untold.why.endswith("its handler now rejects it (not today)")
    assert found.rows == [it for it in whole.rows if it.place != ("order", "o1")] != []
    assert not found.is_empty


def test_a_past_as_of_a_time_tells_what_is_held_back() -> None:
    """An event that had happened and depends on a later one: of a row, a namespace or all, in the order of their times."""
    world = World(bank.app())
    world.when(AccountOpen(account="a", balance=9), id="open-a")
    world.advance(timedelta(hours=2))
    world.when(AccountDebit(account="a", transfer="t", amount=1), id="now")
    world.when(AccountDebit(account="a", transfer="u", amount=1), id="late", time=START + MINUTE)
    world.when(AccountOpen(account="b", balance=9), id="open-b", time=START + MINUTE)
    world.settle()
    history = world.history()
    assert history.held_back() == []
    then = history.as_of(START + timedelta(hours=1))
    assert [it.event.id for it in then.held_back(bank.account, "a")] == ["late"]
    assert [it.event.id for it in then.held_back(bank.account)] == ["late"]
    assert then.held_back(bank.account, "b") == []
    assert "late" in [it.event.id for it in then.held_back()]
    assert then.table(bank.account)["b"].balance == 9
    assert "late" in [it.event.id for it in then.as_of(START + timedelta(minutes=30)).held_back()]
    assert then.as_of(START).held_back() == []
    assert history.as_of(START + timedelta(hours=3)).held_back() == []


def test_a_damaged_file_is_a_sentence(file: tuple[Path, Any]) -> None:
    """However far it could be read."""
    path, _ = file
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(len(content) - 8192))
    with pytest.raises(HistoryError, match="is damaged"), History.open(shop.app(), path):
        pass


def test_a_handler_that_rejects_now_is_named() -> None:
    """Rows of a past that this code would not have made are not told."""
    world = World(bank.app())
    world.when(AccountOpen(account="a", balance=100))

    def refuse(row: object, event: object) -> Any:
        raise Rejected("no more accounts")

    other = World(with_change(bank.app(), AccountOpen, lambda _: refuse))
    other._run.spaces["account"].log += world._run.spaces["account"].log
    with pytest.raises(HistoryError, match="its handler now rejects it"):
        other.history().table(bank.account).get("a")
