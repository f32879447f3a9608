"""The fewest published events that still show something: delta debugging, what may have led to it, and the test that is written."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams import App, Event, Outcome
from streams.cli.commands.shrink import shrink as shrink_command
from streams.errors import ConfigError, HistoryError, NoSuchEvent
from streams.history.branch.branch import what_if
from streams.history.branch.change import Change
from streams.history.branch.shrinking import SearchLimits, first_shown, led_to, shrink
from streams.history.branch.smallest import INTERRUPTED, OUT_OF_TIME, OUT_OF_TRIES, WHOLE, Search
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.past import MemoryPast, cause_of
from streams.history.recorded_event import ROOT
from streams.history.when.predicate import Predicate
from streams.testing.incident import Found, search
from streams.testing.python_text import PythonText, quoted
from streams.testing.scenario import Scenario, ScenarioStep
from streams.testing.scenario_text import Incident, written_test
from tests.applications import bank, permits, shop
from tests.applications.bank.events import AccountDebit, AccountOpen, AccountRow, TransferDone, TransferStart
from tests.applications.permits.events import PermitStep
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge, PaymentCharged, StockReceive, StockReserve
from tests.support.other_code import Handler, refusing, row_with, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import ALL_KINDS, KINDS, START, made, past_of
from tests.support.permits import history
from tests.support.stored_pasts import exported

some = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
INCIDENT = Path(permits.__file__).with_name("incident.py")
"""The test of the how-to, as the command wrote it."""
ALWAYS = SearchLimits(lambda: True)
Shows = Callable[[Sequence[int]], bool]


def searched(items: Sequence[int], shows: Shows, in_time: Callable[[], bool] = lambda: True, most: int = 10_000) -> Search[int]:
    def shows_without(part: Sequence[int]) -> bool:
        return shows([it for it in found.left if it not in part])

    found = Search(items, shows_without, in_time, lambda _: None, most)
    found.run()
    return found


@given(st.integers(0, 60), st.sets(st.integers(0, 59), max_size=5))
def test_what_is_needed_is_found(count: int, needed: set[int]) -> None:
    """Of a list that shows as long as some of it are there, these are what is left."""
    needed = {it for it in needed if it < count}
    search = searched(range(count), lambda left: needed <= set(left))
    assert search.left == sorted(needed)
    assert search.ended == WHOLE


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_nothing_that_is_left_can_be_spared(count: int, seed: int) -> None:
    """Whatever shows and does not, also where fewer show less and more again."""
    random_shows = random.Random(seed)
    known: dict[tuple[int, ...], bool] = {tuple(range(count)): True}

    def shows(left: Sequence[int]) -> bool:
        return known.setdefault(tuple(left), random_shows.random() < 0.4)

    left = searched(range(count), shows).left
    assert shows(left)
    assert not any(shows([it for it in left if it != each]) for each in left)


def test_a_search_that_is_ended_leaves_the_fewest_so_far() -> None:
    """By its limits, or by Ctrl-C."""
    answers = iter([True, False])

    def interrupted(left: Sequence[int]) -> bool:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    search = searched(range(100), interrupted)
    assert (search.ended, search.left, search.tries) == (INTERRUPTED, [*range(50, 100)], 3)
    few = searched(range(100), lambda left: 99 in left, most=3)
    assert (few.ended, few.tries, len(few.left)) == (OUT_OF_TRIES, 3, 25)
    turns = iter([True, False])
    assert searched(range(100), lambda left: 99 in left, lambda: next(turns)).ended == OUT_OF_TIME


@some
@given(st.sampled_from(ALL_KINDS), st.integers(0, 10**6))
def test_what_led_to_a_row_is_a_past_of_its_own(kind: str, seed: int) -> None:
    """A prefix of each key, with all causes; it has the row, byte for byte, and less than all."""
    chosen, there = made(kind, seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    it = chosen.choice(list(past.events()))
    part = led_to(past, it.place, it.order)
    references = {each.reference for each in part}
    assert it.reference in references
    assert all(each.cause is None or each.cause in references for each in part)
    orders = {each.order for each in part}
    assert {cause.order for each in part if (cause := cause_of(past, each)) is not None} <= orders
    alone = MemoryPast(part)
    for place in {each.place for each in part}:
        events = alone.key_events(place)
        assert [each.reference for each in events] == [each.reference for each in past.key_events(place)[: len(events)]]
    assert handlers.fold_all(alone.key_events(it.place)) == handlers.fold_all(
        [each for each in past.key_events(it.place) if each.order <= it.order]
    )


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_each_event_that_is_left_is_needed(kind: str, seed: int) -> None:
    """The branch with these alone shows it, and with one of them less it does not."""
    chosen, there = made(kind, seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    turned = [it for it in past.events() if it.accepted and handlers.fold_all(past.key_events(it.place))[0] is not None]
    if not turned:
        return
    place = chosen.choice(turned).place
    condition = Predicate("row is not None", there.app.namespace(place[0]).row_type)
    found = shrink(past, handlers, place, condition, ALWAYS)
    assert found.ended == WHOLE
    alone = MemoryPast(led_to(past, place, found.shown.order))
    roots = {it.reference for it in alone.events() if it.kind == ROOT}
    left = {it.reference for it in found.events}
    assert shows(alone, handlers, roots - left, found.answers, place, condition)
    for each in left:
        assert not shows(alone, handlers, (roots - left) | {each}, found.answers, place, condition)


def shows(past: Any, handlers: ApplicationHandlers, removed: set[str], answers: Any, place: Any, condition: Any) -> bool:
    branch = what_if(past, handlers, Change(remove=frozenset(removed)), answers=answers).past
    return first_shown(branch, handlers, place, condition) is not None


def some_money(app: App, transfers: int) -> Partitions:
    """Transfers in several partitions, handled among each other; many accounts have too little at some time."""
    chosen = random.Random(7)
    there = Partitions(app, 3, now=START, seed=7, most=6)
    accounts = [f"a{number}" for number in range(12)]
    for name in accounts:
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    for number in range(transfers):
        source, target = chosen.sample(accounts, 2)
        there.now += timedelta(seconds=10)
        data = TransferStart(transfer=f"t{number}", source=source, target=target, amount=chosen.randint(1, 90))
        there.publish(data, f"start-{number}", there.now)
        for _ in range(chosen.randint(0, 6)):
            there.step()
    there.settle()
    return there


def overdrawn(handler: Handler) -> Handler:
    """A debit that does not look at the balance."""

    def changed(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[Any]:
        if row is None:
            return handler(row, event)
        done = TransferDone(transfer=event.data.transfer, step="debit")
        return Outcome(replace(row, balance=row.balance - event.data.amount), emit=[done])

    return changed


def found_in(there: Partitions, place: tuple[str, str], condition: str, seconds: float = 60.0) -> Found:
    return search(past_of(there), ApplicationHandlers(there.app, there.codec), place, condition, seconds)


def text_of(found: Found, app: str, place: tuple[str, str], condition: str) -> str:
    assert found.scenario is not None
    return written_test(Incident(app, *place, condition, ["Found."]), found.scenario, found.answered)


def run(text: str) -> None:
    """The one test of a file, as pytest runs it."""
    names: dict[str, Any] = {}
    exec(compile(text, "test_incident.py", "exec", dont_inherit=True), names)
    [test] = [it for name, it in names.items() if name.startswith("test_")]
    test()


def fails_until_mended(text: str, module: Any, broken: App | None, mended: App, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken is not None:
        monkeypatch.setattr(module, "app", lambda: broken)
    with pytest.raises(AssertionError):
        run(text)
    monkeypatch.setattr(module, "app", lambda: mended)
    run(text)


@pytest.mark.parametrize(("key", "candidates", "left"), [("a3", 130, 3), ("a5", 31, 4)])
def test_an_account_below_nothing(key: str, candidates: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of many events are enough: the test fails with the broken handler, and passes with the right one.

    For a5 all that was before is looked at: what led to it alone does not show that money came back where an account is missing.
    """
    broken, right = with_change(bank.app(), AccountDebit, overdrawn), bank.app()
    there = some_money(broken, 150)
    place, condition = ("account", key), "balance < 0"
    found = found_in(there, place, condition)
    assert (len(found.shrunk.candidates), len(found.shrunk.events)) == (candidates, left)
    fails_until_mended(text_of(found, "tests.applications.bank:app", place, condition), bank, broken, right, monkeypatch)


def test_a_stock_below_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shop in which more is reserved than there is."""
    right = shop.app()
    broken = with_change(right, StockReserve, row_with(free=lambda free: free - 6))
    there = Partitions(broken, 2, now=START, seed=3)
    there.publish(StockReceive(sku="x", quantity=20, price=3), "receive", START)
    there.settle()
    for number in range(12):
        there.now += timedelta(minutes=1)
        line = Line(sku="x", quantity=1)
        there.publish(OrderPlace(order=f"o{number}", customer="c", lines=(line,)), f"place-{number}", there.now)
        there.settle()
    place, condition = ("stock", "x"), "free < 0"
    found = found_in(there, place, condition)
    assert [it.event_type for it in found.shrunk.events] == ["stock.receive", *["order.place"] * 3]
    fails_until_mended(text_of(found, "tests.applications.shop:app", place, condition), shop, broken, right, monkeypatch)


def test_a_gateway_answers_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test has its answer, and calls nobody, whatever the application's gateways would do."""
    there = Partitions(shop.app(), 2, now=START, seed=3)
    there.publish(StockReceive(sku="x", quantity=5, price=3), "receive", START)
    there.publish(OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=1),)), "place", START)
    there.settle()
    found = found_in(there, ("order", "o"), "status == 'paid'")
    [(request, answer)] = found.answered
    assert (request.event_type, answer.event_type) == ("payment.charge", "payment.charged")
    text = text_of(found, "tests.applications.shop:app", ("order", "o"), "status == 'paid'")

    class Expensive(shop.CardApi):
        async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
            called.append(event)
            raise OSError

    called: list[object] = []
    expensive = shop.app(Expensive())
    monkeypatch.setattr(shop, "app", lambda: expensive)
    with pytest.raises(AssertionError):
        run(text)
    assert called == []


def closing_takes_it_back(handler: Handler) -> Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        if outcome.row is None or not outcome.row.closed:
            return outcome
        return Outcome(replace(outcome.row, late=False), emit=outcome.emit)

    return changed


def test_a_permit_that_stays_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,600 real events, the receipt and the closing are enough, with the timer between them."""
    there = Partitions(permits.app(), 2, now=START, seed=1, most=50)
    for number, (data, time) in enumerate(islice(history(), 3_600)):
        there.now = time
        there.publish(data, f"event-{number}", time)
        if number % 50 == 0:
            there.settle()
    there.settle()
    [key, *_] = [key for key, row in there.rows("permit").items() if row.late and row.closed]  # type: ignore[attr-defined]
    place, condition = ("permit", key), "late and closed"
    found = found_in(there, place, condition)
    assert [it.event_type for it in found.shrunk.events] == ["permit.receive", "permit.step"]
    mended = with_change(permits.app(), PermitStep, closing_takes_it_back)
    text = text_of(found, "tests.applications.permits:app", place, condition)
    assert text.partition("from datetime")[2] == INCIDENT.read_text().partition("from datetime")[2]
    fails_until_mended(text, permits, None, mended, monkeypatch)
    clerk = found_in(there, ("clerk", "admin2"), "late > 1")
    assert [it.event_type for it in clerk.shrunk.events] == ["permit.receive"] * 2
    assert clerk.scenario is not None


def test_without_time_there_is_a_test_all_the_same() -> None:
    """With all that may have led to it: nothing was left out."""
    there = some_money(with_change(bank.app(), AccountDebit, overdrawn), 20)
    key = min(there.rows("account"), key=lambda each: there.rows("account")[each].balance)  # type: ignore[attr-defined]
    found = found_in(there, ("account", key), "balance < 0", seconds=0)
    assert found.shrunk.ended == OUT_OF_TIME
    assert list(found.shrunk.events) == list(found.shrunk.candidates)


def test_there_may_be_nothing_to_shrink() -> None:
    """A condition that never held, and one that holds where there is nothing."""
    there = some_money(bank.app(), 3)
    with pytest.raises(HistoryError, match="balance < 0 never held of account 'a1', so there is nothing to shrink"):
        found_in(there, ("account", "a1"), "balance < 0")
    with pytest.raises(HistoryError, match="holds where there is no row"):
        found_in(there, ("account", "a1"), "row is None")


VALUES = [
    None, True, 3, 2.5, float("inf"),
    "a\n\"'\\\u202e", b"\x00", (1,), (1, "b"), {"a": Decimal("1.50")}, UUID(int=5), date(2026, 1, 2),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=UTC), timedelta(days=-1, microseconds=3), timedelta(0),
    OrderPlace(order="'", customer='"', lines=(Line(sku="x", quantity=1),)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_written_as_python_reads_it(value: object) -> None:
    """With its imports; nothing that an event may hold ends the text that it stands in."""
    text = PythonText()
    source = text.of(value)
    names: dict[str, Any] = {}
    exec("\n".join([*text.imports(), f"value = {source}"]), names)
    assert names["value"] == value
    assert source.isprintable()


@given(st.text())
def test_texts_are_quoted(value: str) -> None:
    """In double quotes where that needs no escape."""
    assert eval(quoted(value)) == value


@pytest.mark.parametrize("name", ["world", "found", "turn", "answered", "EVENTS", "ANSWERED", "World", "Event", "test_app"])
def test_a_factory_may_be_called_as_something_in_the_test(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another name there, and the test fails as it should."""
    monkeypatch.setattr(shop, name, shop.app, raising=False)
    steps = [ScenarioStep(StockReceive(sku="x", quantity=20, price=3), START)]
    answered = [(PaymentCharge(order="o1", amount=3), PaymentCharged(order="o1", receipt="r"))]
    incident = Incident(f"tests.applications.shop:{name}", "stock", "x", "free > 1", ["Found."])
    text = written_test(incident, Scenario(steps, True), answered)
    with pytest.raises(AssertionError):
        run(text)


def test_two_classes_of_one_name_are_refused() -> None:
    """A test that imports both would mean one of them."""
    text = PythonText()
    text.use("shop.events", "World")
    with pytest.raises(ConfigError, match="two classes of the name World"):
        text.use("streams.testing", "World")


def test_the_command_writes_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout or to a new file; what it found is said on stderr. What cannot be is a sentence."""
    there = some_money(bank.app(), 40)
    file = exported(there, tmp_path)
    monkeypatch.setenv("RETOLD_APP", "tests.applications.bank:app")
    monkeypatch.setenv("RETOLD_STATE", str(tmp_path / "state"))
    [key, *_] = [key for key, row in there.rows("transfer").items() if row.status == "failed"]  # type: ignore[attr-defined]
    shrink_command("transfer", key, "status == 'failed'", None, 60.0, file)
    out, said = capsys.readouterr()
    assert "published events that may have led to it" in said
    with pytest.raises(AssertionError):
        run(out)
    target = tmp_path / "test_incident.py"
    shrink_command("transfer", key, "status == 'failed'", target, 60.0, file)
    assert target.read_text() == out
    with pytest.raises(ConfigError, match="is there already; --output writes a new file"):
        shrink_command("transfer", key, "status == 'failed'", target, 60.0, file)
    with pytest.raises(NoSuchEvent, match="nothing ever happened to it"):
        shrink_command("transfer", "nothing", "status == 'failed'", None, 60.0, file)


def test_code_that_has_been_mended_is_the_reason_why_no_test_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not the order of events: what was accepted on the way is refused now."""
    there = some_money(bank.app(), 10)
    source, key = next((row.source, key) for key, row in there.rows("transfer").items() if row.status == "done")  # type: ignore[attr-defined]
    stricter = with_change(bank.app(), AccountDebit, refusing({source}))
    monkeypatch.setattr(bank, "app", lambda: stricter)
    monkeypatch.setenv("RETOLD_APP", "tests.applications.bank:app")
    monkeypatch.setenv("RETOLD_STATE", str(tmp_path / "state"))
    with pytest.raises(typer.Exit):
        shrink_command("transfer", key, "status == 'done'", None, 20.0, exported(there, tmp_path))
    said = " ".join(capsys.readouterr().err.split())
    assert "does not come to that any more: the row" in said
    assert "its handler now rejects it (not today)" in said
    assert "another order" not in said


@pytest.mark.parametrize("key", ["", "'", '"""', "a\n\x1b]0;b", "\\", "\u202e", "x" * 300, "if"])
def test_no_key_and_no_condition_ends_the_text_that_it_stands_in(key: str) -> None:
    """The file is one test, whatever an event holds; no terminal is driven by it."""
    step = ScenarioStep(AccountOpen(account=key, balance=1), START)
    condition = f"balance == 1 and {key!r} != '\"\"\"\\\\'"
    for plays in (True, False):
        incident = Incident("tests.applications.bank:app", "account", key, condition, [f"{key} \\"])
        text = written_test(incident, Scenario([step], plays), [])
        assert all(line.isprintable() for line in text.splitlines())
        if key:  # an account without a name is no event
            with pytest.raises(AssertionError):
                run(text)
