"""Branches by example: what is missing, surplus or otherwise, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Rejected
from streams.cli.output.branch_text import difference_lines
from streams.errors import CodeChanged, HistoryError, InvalidEvent
from streams.history.branch.branch import replay, what_if
from streams.history.branch.branch_queue import BranchQueue
from streams.history.branch.change import Change, InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode, emitted
from streams.history.past import Past
from streams.history.past_tables import PastTables
from streams.history.recorded_event import OrderKey
from streams.testing.world_io import headers_of
from tests.applications import bank, shop, timed
from tests.applications.bank.events import AccountDebit, AccountOpen, AccountRow, TransferStart
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.applications.timed.events import AlarmRow, AlarmTouch
from tests.support.other_code import refusing, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, answered, past_of


def a_bank(*transfers: tuple[str, str, int]) -> tuple[Past, ApplicationHandlers]:
    """Two accounts of 100 and these transfers, each from one account to another."""
    there = Partitions(bank.app(), 2, now=START)
    for name in ("a", "b"):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START)
    for number, (source, target, amount) in enumerate(transfers):
        there.now += timedelta(minutes=1)
        data = TransferStart(transfer=f"t{number}", source=source, target=target, amount=amount)
        there.publish(data, f"start-{number}", there.now)
        there.settle()
    return past_of(there), ApplicationHandlers(there.app, there.codec)


def test_a_transfer_that_was_never_started() -> None:
    """Its events are missing, both accounts have what they would have, and the next transfer is refused no more."""
    past, handlers = a_bank(("a", "b", 80), ("a", "b", 50))
    first = next(it for it in past.events() if it.event.id == "start-0")
    found = what_if(past, handlers, Change(remove=frozenset([first.reference]))).difference
    assert sorted(it.event_type for it in found.missing) == [
        "account.credit", "account.debit", "transfer.done", "transfer.done", "transfer.failed", "transfer.start",
    ]  # fmt: skip
    assert [(it.recorded.event_type, it.what) for it in found.changed] == [("account.debit", ("outcome",))]
    rows = {it.place: it.after for it in found.rows}
    assert rows["account", "a"] == AccountRow(balance=50)
    assert rows["account", "b"] == AccountRow(balance=150)
    assert rows["transfer", "t0"] is None
    assert not found.origins


def test_a_change_reaches_few() -> None:
    """Of many transfers between others, none is decided."""
    past, handlers = a_bank(*[("a", "b", 1)] * 20)
    found = what_if(past, handlers, Change([InsertedEvent(AccountOpen(account="c", balance=1), START)])).difference
    assert (found.decided, found.keys, len(found.surplus)) == (1, 1, 1)


def test_only_what_was_published_is_changed() -> None:
    """The sentence names the event that it follows from."""
    past, handlers = a_bank(("a", "b", 80))
    debit = next(it for it in past.events() if it.event_type == "account.debit")
    for change in (Change(remove=frozenset([debit.reference])), Change(replace={debit.reference: debit.event.data})):
        with pytest.raises(
            HistoryError, match=r"account\.debit account-\d:\d cannot be .* follows from transfer\.start .*start-0"
        ):
            what_if(past, handlers, change)


def test_a_change_that_makes_no_sense_is_refused() -> None:
    """An event that is not there; one of another key in its place; an id that is taken; a time without a zone."""
    past, handlers = a_bank(("a", "b", 80))
    start = next(it for it in past.events() if it.event.id == "start-0")
    with pytest.raises(HistoryError, match=r"no event nowhere in this past"):
        what_if(past, handlers, Change(remove=frozenset(["nowhere"])))
    other = TransferStart(transfer="t9", source="a", target="b", amount=1)
    with pytest.raises(HistoryError, match=r"transfer\.start 't0' was to be replaced by transfer\.start 't9'"):
        what_if(past, handlers, Change(replace={start.reference: other}))
    with pytest.raises(InvalidEvent, match=r"start-0, which transfer\.start t0 transfer-\d:1 of .* has already"):
        what_if(past, handlers, Change([InsertedEvent(start.event.data, START, "start-0", source="test")]))
    with pytest.raises(InvalidEvent, match="no time zone"):
        what_if(past, handlers, Change([InsertedEvent(other, datetime(2026, 1, 1))]))  # noqa: DTZ001 - that is the point
    with pytest.raises(HistoryError, match=r"no event nowhere .* to be followed by another one"):
        what_if(past, handlers, Change([InsertedEvent(other, START, after="nowhere")]))


def test_an_id_is_that_of_an_event_whoever_published_it() -> None:
    """What is put in without a source has no id of an event of its row; once that is taken out, it is the same event again."""
    past, handlers = a_bank(("a", "b", 80))
    start = next(it for it in past.events() if it.event.id == "start-0")
    again = InsertedEvent(start.event.data, start.event.time, "start-0")
    with pytest.raises(InvalidEvent, match=r"the id start-0, which transfer\.start t0 transfer-\d:1 of .* has already"):
        what_if(past, handlers, Change([again]))
    with pytest.raises(InvalidEvent, match=r"start-0, .* has already: give it another id, or replace that one"):
        what_if(past, handlers, Change([again], frozenset([start.exact_name])))
    without = what_if(past, handlers, Change(remove=frozenset([start.exact_name]))).past
    back = what_if(without, handlers, Change([again])).past
    assert [(it.order, it.reference) for it in back.events()] == [(it.order, it.reference) for it in past.events()]
    assert what_if(past, handlers, Change([replace(again, source="ann")])).difference.surplus


def test_equal_events_that_are_put_in_are_several() -> None:
    """As equal rows of a file are. With one id the second would be a duplicate, so it is refused."""
    past, handlers = touched()
    touch = InsertedEvent(TOUCH, START + timedelta(hours=1))
    found = what_if(past, handlers, Change([touch] * 3)).difference
    assert len(found.surplus) == len({it.reference for it in found.surplus}) == 3
    assert [it.after for it in found.rows] == [AlarmRow(total=5, touched=5, trace="t1t1t1t1t1")]
    with pytest.raises(InvalidEvent, match=r"two events were to be put in with the id same"):
        what_if(past, handlers, Change([InsertedEvent(TOUCH, START, "same")] * 2))


def test_what_could_not_be_published_is_not_put_in() -> None:
    """An id or a source that is too long, a worker's source, and more data than an event may hold."""
    past, handlers = a_bank(("a", "b", 80))
    data = AccountOpen(account="c", balance=1)
    for source, event_id in (("", "i" * 100_000), ("", ""), ("s" * 100_000, "i"), ("retold/bank/account", "i")):
        with pytest.raises(InvalidEvent, match=r"the (id|source) of an event is"):
            what_if(past, handlers, Change([InsertedEvent(data, START, event_id, source=source)]))
    large = TransferStart(transfer="t9", source="a" * 2**20, target="b", amount=1)
    with pytest.raises(InvalidEvent, match=r"an event may hold 1048576"):
        what_if(past, handlers, Change([InsertedEvent(large, START)]))


def test_an_event_is_taken_out_or_replaced() -> None:
    """Not both."""
    past, handlers = a_bank(("a", "b", 80))
    start = next(it for it in past.events() if it.event.id == "start-0")
    with pytest.raises(HistoryError, match=r"transfer\.start transfer-\d:1 was to be taken out and to be replaced"):
        what_if(
            past, handlers, Change(remove=frozenset([start.reference]), replace={start.reference: start.event.data})
        )


TOUCH = AlarmTouch(name="a", number=1, after=0, other="")


def touched() -> tuple[Past, ApplicationHandlers]:
    """An alarm that is touched, and again by somebody who has seen that."""
    there = Partitions(timed.app(), 1, now=START)
    there.publish(TOUCH, "first", START)
    headers = [*headers_of(TOUCH, "second", "test", b"2026-01-01T00:00:00Z"), ("ce_expectedversion", b"1")]
    there._put("alarm", b"a", there.codec.encode(TOUCH), headers)
    there.settle()
    return past_of(there), ApplicationHandlers(there.app, there.codec)


def accepted(past: Past) -> list[bool]:
    return [it.accepted for it in past.events()]


def test_an_event_that_is_put_in_again_gives_its_version_again() -> None:
    """So another one that expects it is accepted as it was."""
    past, handlers = touched()
    was, _ = past.events()
    branch = what_if(past, handlers, Change(remove=frozenset([was.reference])))
    assert accepted(branch.past) == [False]
    again = InsertedEvent(was.event.data, was.event.time, was.event.id, source="test")
    assert accepted(what_if(branch.past, handlers, Change([again])).past) == accepted(past) == [True, True]


def test_a_branch_of_a_branch_gives_no_version_that_a_publisher_has_seen() -> None:
    """An event that a branch put in stands by a record, but it is not that record."""
    past, handlers = touched()
    was, _ = past.events()
    branch = what_if(past, handlers, Change([InsertedEvent(TOUCH, START, "new", after=was.reference)]))
    assert accepted(branch.past) == [True, True, False]
    again = what_if(branch.past, handlers, everything=True)
    assert again.difference.is_empty
    assert accepted(again.past) == [True, True, False]


def test_an_event_that_raises_stops_its_key_alone() -> None:
    """It and what stands behind it are listed; the other keys go on, and what it had led to is missing."""
    chosen = Partitions(timed.app(), 1, now=START)
    for number, (name, value) in enumerate([("a", 1), ("a", 2), ("b", 3)]):
        chosen.publish(AlarmTouch(name=name, number=value, after=1, other=""), f"touch-{number}", START)
    chosen.settle()
    chosen.now += timedelta(hours=40)
    chosen.settle()
    past, handlers = past_of(chosen), ApplicationHandlers(chosen.app, chosen.codec)
    broken = InsertedEvent(AlarmTouch(name="a", number=99, after=0, other=""), START - timedelta(seconds=1))
    found = what_if(past, handlers, Change([broken])).difference
    assert (found.raised[0].error, found.raised[0].behind) == ("ZeroDivisionError: a bug", False)
    assert {it.event.key for it in found.raised} == {"a"}
    assert all(it.behind for it in found.raised[1:])
    assert {it.key for it in found.missing} == {"a"}


def test_what_depends_on_an_unknown_answer_is_open() -> None:
    """An order that is put in asks for its payment. Nobody answers, so that it expires is no difference."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", START)
    there.settle()
    there.now += timedelta(hours=2)
    there.publish(StockReceive(sku="y", quantity=9, price=3), "later", there.now)
    there.settle()
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    order = InsertedEvent(
        OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=1),)), START + timedelta(minutes=1)
    )
    found = what_if(past, handlers, Change([order])).difference
    assert [it.event_type for it in found.waiting] == ["payment.charge"]
    assert [it.kind for it in found.calls] == ["would call"]
    assert "order.expire" in {it.event_type for it in found.open} | {it.event_type for it in found.surplus}
    known = what_if(past, handlers, Change([order]), answers=answered).difference
    assert not known.waiting
    assert not known.open
    assert "order.paid" in {it.event_type for it in known.surplus}


def test_a_branch_that_does_not_end_says_so() -> None:
    """With the types that lead to each other."""
    past, handlers = a_bank(("a", "b", 80), ("a", "b", 10))
    with pytest.raises(HistoryError, match=r"does not end: 3 events were decided, while the past has 12.*transfer"):
        what_if(past, handlers, everything=True, limit=3)


def test_code_whose_handler_raises_now_cannot_tell_what_it_emitted() -> None:
    """Also of an event that was rejected, which changed no row."""
    past, handlers = a_bank(("a", "b", 180))
    other = ApplicationHandlers(with_change(bank.app(), AccountDebit, lambda _: raising), handlers.codec)
    it = next(it for it in past.events() if not it.accepted)
    with pytest.raises(CodeChanged, match=r"account\.debit was rejected as account-\d:\d, and its handler now raises KeyError"):
        emitted(other, it, AccountRow(balance=100))
    assert LocalCode(other).in_flight(past, it, AccountRow(balance=100)) == {}


def test_a_row_that_the_code_cannot_tell_stays_as_it_was_in_a_branch() -> None:
    """It is listed with why, and the other rows are told."""
    past, handlers = a_bank(("a", "b", 80), ("b", "a", 50), ("a", "b", 10))
    stricter = ApplicationHandlers(with_change(bank.app(), AccountDebit, refusing({"a"})), handlers.codec)
    second = next(it for it in past.events() if it.event.id == "start-1")
    found = what_if(past, stricter, Change(remove=frozenset([second.reference]))).difference
    [untold] = found.untold
    assert (untold.place, untold.recorded.event_type, untold.events) == (("account", "a"), "account.debit", 1)
    assert {it.place: it.after for it in found.rows} == {("account", "b"): AccountRow(balance=190), ("transfer", "t1"): None}
    assert {it.event_type for it in found.missing} == {"transfer.start", "account.debit", "account.credit", "transfer.done"}
    late = InsertedEvent(AccountDebit(account="a", transfer="t9", amount=1), START + timedelta(days=1), "late")
    put_in = what_if(past, stricter, Change([late])).difference
    assert [it.place for it in put_in.untold] == [("account", "a")]
    assert [it.event.id for it in put_in.surplus] == ["late"]
    assert put_in.rows == []


def at_most_60(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    if event.data.amount > 60:
        raise Rejected("too much at once")
    return bank.debit(row, event)


@pytest.mark.parametrize(("replaced", "balance"), [(None, 140), (50, 90)])
def test_a_row_is_told_in_a_branch_that_does_not_have_what_the_code_refuses(replaced: int | None, balance: int) -> None:
    """Or has it with other data: as it was the row is not known, and in the branch all of it is decided."""
    past, handlers = a_bank(("a", "b", 80), ("b", "a", 50), ("a", "b", 10))
    stricter = ApplicationHandlers(with_change(bank.app(), AccountDebit, lambda _: at_most_60), handlers.codec)
    first = next(it for it in past.events() if it.event.id == "start-0")
    other = {first.reference: TransferStart(transfer="t0", source="a", target="b", amount=replaced or 0)}
    change = Change(remove=frozenset([first.reference])) if replaced is None else Change(replace=other)
    branch = what_if(past, stricter, change)
    [untold] = branch.difference.untold
    assert (untold.place, untold.is_told, untold.after, untold.events) == (("account", "a"), True, AccountRow(balance=balance), 0)
    assert "too much at once" in untold.why
    assert branch.difference.not_compared == 0
    assert PastTables(branch.past, stricter).table("account")["a"] == AccountRow(balance=balance)
    assert f"balance {balance}" in str(difference_lines(branch.difference, 0.1))
    assert ("account", "a") not in {it.place for it in branch.difference.rows}


def raising(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    raise KeyError(event.key)


def test_other_code_shows_where_it_decides_otherwise() -> None:
    """One changed line in one handler: each origin is that handler's, and all else follows from them."""
    past, handlers = a_bank(("a", "b", 80), ("b", "a", 30), ("a", "b", 60))
    other = ApplicationHandlers(with_fee(), handlers.codec)
    found = replay(past, LocalCode(handlers), other).difference
    assert {it.recorded.event_type for it in found.origins} == {"account.debit"}
    assert found.origins[0].row_before == AccountRow(balance=100)
    assert (found.origins[0].row_then, found.origins[0].row_now) == (AccountRow(balance=20), AccountRow(balance=19))
    assert not found.is_empty
    assert replay(past, LocalCode(handlers), ApplicationHandlers(bank.app(), handlers.codec)).difference.is_empty


def with_fee() -> App:
    """The bank, where each debit takes one more."""
    account = Namespace("account", row=AccountRow)
    for event, handler in bank.account.handlers.items():
        account.handles(event, emits=bank.account.emits[event])(debit_with_fee if event is AccountDebit else handler)
    return App(name="bank", namespaces=[account, bank.transfer])


def debit_with_fee(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    decided = bank.debit(row, event)
    assert decided.row is not None
    return Outcome(AccountRow(balance=decided.row.balance - 1), emit=decided.emit)


def test_what_is_put_in_stands_behind_its_keys_earlier_events() -> None:
    """Also in a past that was imported in another order than that of its times: else its row would not be there yet."""
    there = Partitions(bank.app(), 1, now=START)
    for name, days in (("z", 300), ("a", 1), ("y", 200)):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START + timedelta(days=days))
    there.settle()
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    close = InsertedEvent(AccountDebit(account="a", transfer="t", amount=10), START + timedelta(days=100))
    found = what_if(past, handlers, Change([close])).difference
    assert [(it.place, it.after) for it in found.rows if it.place[0] == "account"] == [
        (("account", "a"), AccountRow(balance=90))
    ]


def handled_twice() -> tuple[Past, ApplicationHandlers]:
    """One id of two keys, each of which rings a bell a little later, and of one of them again, long after."""
    there = Partitions(timed.app(), 1, now=START, window=1)
    for name, number, other in (("a", 1, "x"), ("b", 1, "y"), ("a", 2, "")):
        there.publish(AlarmTouch(name=name, number=number, after=0, other=other), "touch", there.now)
        there.publish(AlarmTouch(name="f", number=0, after=0, other=""), f"{name}-{number}", there.now)
        there.now += timedelta(hours=2)
        there.settle()
    return past_of(there), ApplicationHandlers(there.app, there.codec)


def test_an_id_that_was_handled_several_times_names_several_events() -> None:
    """Each has what it led to. A change names one of them by its position, or is refused."""
    past, handlers = handled_twice()
    first, second, *_, again = past.find_all(next(past.events()).reference)
    assert [it.key for it in (first, second, again)] == ["a", "b", "a"]
    assert what_if(past, handlers, everything=True).difference.is_empty
    with pytest.raises(HistoryError, match=r"3 events have the id touch, .*: alarm-0:1, .*Name one with its position"):
        what_if(past, handlers, Change(remove=frozenset([first.reference])))
    for it, ringing in ((first, "x"), (second, "y"), (again, None)):
        found = what_if(past, handlers, Change(remove=frozenset([it.exact_name]))).difference
        missing = [it, *([] if ringing is None else past.key_events(("bell", ringing)))]
        assert [each.order for each in found.missing] == [each.order for each in missing]
    other = AlarmTouch(name="b", number=7, after=0, other="y")
    found = what_if(past, handlers, Change(replace={second.exact_name: other})).difference
    assert [it.place for it in found.rows] == [("alarm", "b"), ("bell", "y")]


def test_an_id_that_another_key_has_may_be_put_in() -> None:
    """As a publisher may give it, to several keys at once, too. The same key would take it for a duplicate."""
    past, handlers = handled_twice()
    put_in = InsertedEvent(AlarmTouch(name="c", number=1, after=0, other=""), START, "touch", source="test")
    assert [it.key for it in what_if(past, handlers, Change([put_in])).difference.surplus] == ["c"]
    two = [replace(put_in, data=AlarmTouch(name=name, number=1, after=0, other="")) for name in "cd"]
    assert [it.key for it in what_if(past, handlers, Change(two)).difference.surplus] == ["c", "d"]
    taken = InsertedEvent(AlarmTouch(name="b", number=1, after=0, other=""), START, "touch", source="test")
    with pytest.raises(InvalidEvent, match=r"with the id touch, which alarm\.touch b alarm-0:\d of .* has already"):
        what_if(past, handlers, Change([taken]))


def parked_in_a_branch() -> tuple[Past, Past, ApplicationHandlers]:
    """A past, and its branch where an event that raises was put in before all others of its key."""
    there = Partitions(timed.app(), 1, now=START)
    for number in (1, 2):
        there.publish(AlarmTouch(name="a", number=number, after=0, other="z"), f"touch-{number}", START)
    there.settle()
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    broken = InsertedEvent(AlarmTouch(name="a", number=99, after=0, other=""), START - timedelta(seconds=1), "broken")
    return past, what_if(past, handlers, Change([broken])).past, handlers


def test_what_a_branch_has_parked_is_handled_in_a_branch_of_it() -> None:
    """When the event that raised is taken out, or is another one; an event that is put in behind it is parked too."""
    past, branch, handlers = parked_in_a_branch()
    parked = branch.aside.parked
    assert [(it.event.id, it.is_parked) for it in parked] == [("broken", True), ("touch-1", True), ("touch-2", True)]
    gone = what_if(branch, handlers, Change(remove=frozenset([parked[0].reference])))
    assert [it.reference for it in gone.past.events()] == [it.reference for it in past.events()]
    assert [(it.recorded.event.id, it.what) for it in gone.difference.changed] == [
        ("touch-1", ("parked",)), ("touch-2", ("parked",)),
    ]  # fmt: skip
    mended = AlarmTouch(name="a", number=5, after=0, other="")
    found = what_if(branch, handlers, Change(replace={parked[0].reference: mended})).difference
    assert [it.after for it in found.rows if it.place == ("alarm", "a")] == [AlarmRow(total=8, touched=3, trace="t5t1t2")]
    behind = InsertedEvent(AlarmTouch(name="a", number=3, after=0, other=""), START + timedelta(hours=1), "behind")
    found = what_if(branch, handlers, Change([behind])).difference
    assert [(it.event.event.id, it.behind) for it in found.raised] == [("behind", True)]
    assert (found.missing, found.surplus, found.changed, found.rows) == ([], [], [], [])


def test_a_request_that_a_branch_has_left_open_is_open_in_a_branch_of_it() -> None:
    """Until somebody says what its gateway would answer."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", START)
    there.settle()
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    order = InsertedEvent(OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=1),)), START, "place")
    branch = what_if(past, handlers, Change([order])).past
    again = what_if(branch, handlers, everything=True)
    assert again.difference.is_empty
    assert again.past.aside.unanswered == branch.aside.unanswered != frozenset()
    known = what_if(branch, handlers, everything=True, answers=answered).difference
    assert "order.paid" in {it.event_type for it in known.surplus}
    assert not known.calls


def test_what_is_moved_is_missing_at_its_old_place_and_open_only_where_an_answer_is_awaited() -> None:
    """An order that is taken out and put in elsewhere asks again: what it had led to is missing, and depends on no answer."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", START)
    there.settle()
    lines = (Line(sku="x", quantity=1),)
    there.publish(OrderPlace(order="o", customer="c", lines=lines), "place", START + timedelta(minutes=1))
    there.settle()
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    place = next(it for it in past.events() if it.event.id == "place")
    moved = InsertedEvent(place.event.data, START + timedelta(minutes=2), "moved")
    found = what_if(past, handlers, Change([moved], frozenset([place.reference]))).difference
    assert {it.event_type for it in found.missing} >= {
        "order.place",
        "stock.reserve",
        "order.line_reserved",
        "payment.charge",
    }
    assert [it.event_type for it in found.waiting] == ["payment.charge"]


def test_a_timer_of_a_timer_that_was_overdue_fires_where_that_one_did() -> None:
    """At the end of the past as it was corrected: events that come later find both fired, as they found the rows."""
    queue, ends = BranchQueue(), [OrderKey(50, "alarm", 0, 7), OrderKey(90, "alarm", 0, 9)]
    queue.keep_places([], ends)
    first = queue.when_due(3, OrderKey(5, "alarm", 2, 4))
    second = queue.when_due(4, first)
    assert OrderKey(50, "alarm", 0, 7) < first < second < OrderKey(51, "alarm", 0, 8)
