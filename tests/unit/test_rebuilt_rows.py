"""Rows as a rebuild leaves them: which events of a namespace are decided otherwise there, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams import App
from streams.engine.records import Entry
from streams.errors import CodeChanged
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.decided_otherwise import NOTHING_WAITS, RebuiltRows
from streams.history.past import ErasedEvent, MemoryPast
from streams.history.recorded_event import RecordedEvent
from tests.applications import bank, strict
from tests.applications.bank.events import AccountDebit, AccountOpen, AccountRow, TransferStart
from tests.applications.strict import bank_with
from tests.support.other_code import silent, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, past_of


def debited(app: App) -> tuple[Partitions, MemoryPast, list[RecordedEvent]]:
    """An account from which 30 are taken, and then 60: its three events."""
    there = Partitions(app, 1, now=START)
    for name in "ab":
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START)
    for name, amount in (("t0", 30), ("t1", 60)):
        there.publish(TransferStart(transfer=name, source="a", target="b", amount=amount), name, START)
        there.settle()
    past = past_of(there)
    return there, past, [*past.key_events(("account", "a"))]


def rebuilt(there: Partitions, past: MemoryPast, app: App, namespace: str = "account") -> RebuiltRows:
    return RebuiltRows(past, ApplicationHandlers(app, there.codec), namespace, NOTHING_WAITS)


def folded(rows: RebuiltRows, events: list[RecordedEvent]) -> Entry:
    entry: Entry = (None, 0)
    for it in events:
        entry = rows.fold(entry, it)
    return entry


def test_what_is_refused_now_leaves_its_row_and_emits_nothing() -> None:
    """Also not what the event before it emits."""
    there, past, events = debited(bank.app())
    rows = rebuilt(there, past, bank_with(strict.debit))
    before = folded(rows, events[:2])
    assert (before[0], rows.count()) == (AccountRow(balance=70), 1)
    assert rows.fold(before, events[2]) == before
    assert (rows.count(), rows.otherwise) == (0, {events[2].exact_name})


def test_what_is_refused_of_another_namespace_leaves_its_row_untold() -> None:
    """Its rows are not rebuilt, so they are not what this code would leave."""
    there, past, events = debited(bank.app())
    rows = rebuilt(there, past, bank_with(strict.debit), "transfer")
    before = folded(rows, events[:2])
    with pytest.raises(CodeChanged, match="its handler now rejects it"):
        rows.fold(before, events[2])
    assert rows.otherwise == set()


def test_what_leads_to_less_is_otherwise_though_its_row_is_not() -> None:
    """The code here emits nothing."""
    there, past, events = debited(bank.app())
    rows = rebuilt(there, past, with_change(bank.app(), AccountDebit, silent))
    assert folded(rows, events)[0] == AccountRow(balance=10)
    assert rows.otherwise == {it.exact_name for it in events[1:]}


def whole(past: MemoryPast) -> MemoryPast:
    return past


def with_erased(past: MemoryPast) -> MemoryPast:
    """An event of the first transfer is gone, such as the one that would be missed."""
    return MemoryPast(past.events(), {("transfer", "t0"): ErasedEvent(1, None, None)})


@pytest.mark.parametrize(
    ("past_as", "namespaces", "named"),
    [(whole, ["account", "transfer"], ["t0", "t1"]), (with_erased, ["account", "transfer"], ["t1"]), (whole, ["account"], [])],
    ids=["more", "erased", "of another application"],
)
def test_what_leads_to_more_is_otherwise_if_that_would_be_known(
    past_as: Callable[[MemoryPast], MemoryPast], namespaces: list[str], named: list[str]
) -> None:
    """The code before emitted nothing. Of an erased row, and in another application, nobody knows whether it was handled."""
    there, past, events = debited(with_change(bank.app(), AccountDebit, silent))
    spaces: Any = [it for it in bank.app().namespaces if it.name in namespaces]
    rows = rebuilt(there, past_as(past), App(name="bank", namespaces=spaces))
    folded(rows, events)
    assert rows.otherwise == {it.exact_name for it in events[1:] if it.event.data.transfer in named}
