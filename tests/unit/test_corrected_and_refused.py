"""What was taken out is refused by the code that comes afterwards, and the past is corrected further with that.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given

from streams import App, Rejected
from streams.engine.records import Entry
from streams.errors import CodeChanged, HistoryError
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_generation import CorrectedGeneration
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.planning import plan_correction
from streams.history.correction.rows_as_kept import live_timers
from streams.history.recorded_event import RecordedEvent
from tests.applications import bank, shop, strict
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.corrections import Corrected
from tests.support.other_code import with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, live_rows
from tests.support.replayed import replayed
from tests.unit.test_corrections import a_correction, all_cases, begun, many, roots, unless_it_is_refused


def without(app: App, gone: RecordedEvent) -> App:
    """A stricter rule: this one event would not have been accepted."""

    def change(handler: Any) -> Any:
        def changed(row: Any, event: Any) -> Any:
            if event.id == gone.event.id:
                raise Rejected("it should never have been")
            return handler(row, event)

        return changed

    return with_change(app, type(gone.event.data), change)


def a_shop() -> tuple[Corrected, dict[str, RecordedEvent]]:
    """Two orders, which are paid, and whose timers wait."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", there.now)
    for name in ("o", "q"):
        there.publish(OrderPlace(order=name, customer="c", lines=(Line(sku="x", quantity=1),)), name, there.now)
    there.settle()
    here = Corrected(there)
    return here, {it.event.id: it for it in here.log.events()}


def test_the_past_is_corrected_further_once_the_rule_is_stricter() -> None:
    """The first order was taken out, and such ones are refused since; then the second one is taken out, too."""
    here, events = a_shop()
    here.correct(Change(remove=frozenset([events["o"].exact_name])))
    here.finish()
    here.handlers = ApplicationHandlers(without(shop.app(), events["o"]), here.there.codec)
    here.correct(Change(remove=frozenset([events["q"].exact_name])))
    here.finish()
    assert {place: row for place, row in live_rows(here.there).items() if place[0] != "stock"} == {}
    assert live_rows(here.there)["stock", "x"].free == 9
    assert here.timers() == {}
    assert here.finish() == 0


def test_what_no_correction_has_taken_out_is_taken_out_by_the_code_that_has_accepted_it() -> None:
    """Code that refuses it does not know what the row is that workers have."""
    here, events = a_shop()
    handlers = ApplicationHandlers(without(shop.app(), events["o"]), here.there.codec)
    gone = Change(remove=frozenset([events["o"].exact_name]))
    with pytest.raises(CodeChanged, match=r"now rejects it.*export the past"):
        plan_correction(CorrectedLog(here.log), handlers, gone, "ann", "a test")


def goes_on(kind: str, seed: int) -> None:
    """Whatever is corrected next, and whatever comes meanwhile."""
    chosen, here = begun(kind, seed)
    gone = chosen.choice(roots(here.log))
    here.correct(Change(remove=frozenset([gone.exact_name])))
    here.go_on(chosen)
    here.finish()
    here.handlers = ApplicationHandlers(without(here.there.app, gone), here.there.codec)
    here.correct(a_correction(kind, chosen, here.past, "second"))
    here.go_on(chosen)
    here.finish()
    log = here.log
    together = merged(log, here.changes)
    corrected = CorrectedPast(log, here.handlers, together, applied=together)
    assert list(corrected.different_rows()) == []
    assert live_rows(here.there) == replayed(corrected.past.events(), here.handlers)
    waits = {it.turn.event.id for row in corrected.rows.values() for it in row.timers}
    for place in {it.place for it in log.events()} - corrected.rows.keys():
        waits |= live_timers(log, here.handlers, place).keys()
    assert here.timers().keys() == waits


@many
@given(*all_cases)
def test_rows_and_timers_are_what_a_fresh_replay_of_the_corrected_log_gives(kind: str, seed: int) -> None:
    """Also behind an event that the code of now refuses."""
    unless_it_is_refused(goes_on, kind, seed)


def test_rows_of_another_generation_are_built_once_what_it_refuses_is_taken_out() -> None:
    """The sentence names what was published, since nothing else can be taken out, and the code that has accepted it does so."""
    there = Partitions(bank.app(), 1, now=START)
    for name in "ab":
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    there.publish(TransferStart(transfer="t", source="a", target="b", amount=80), "start", there.now)
    there.settle()
    here = Corrected(there)
    events = {it.event.id: it for it in here.log.events()}
    here.correct(Change(replace={events["open-a"].exact_name: AccountOpen(account="a", balance=90)}))
    here.finish()
    handlers = ApplicationHandlers(strict.app(), there.codec)

    def built() -> dict[str, Entry]:
        rows = CorrectedGeneration(here.log, handlers, here.changes, len(here.changes)).rows("account", {0: 99})
        return {**rows[0].rows}

    refused = r"account\.debit was accepted .* cannot be accepted: take transfer\.start t, from which it follows, out"
    with pytest.raises(HistoryError, match=refused) as it:
        built()
    name = re.search(r"`retold correct plan --remove (\S+)`", str(it.value))
    assert name is not None
    assert name[1] == events["start"].name
    here.correct(Change(remove=frozenset([events["start"].exact_name])))
    here.finish()
    assert {key: row for key, (row, _) in built().items()} == {"a": AccountRow(balance=90), "b": AccountRow(balance=100)}
