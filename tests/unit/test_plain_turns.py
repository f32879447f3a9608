"""An event goes the quick way of a replay only if all about it is plain: each condition for itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from streams.data import Record
from streams.event import Event
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchQueue, BranchTimer, BranchTurn
from streams.history.branch.branch_rows import BranchRow
from streams.history.branch.branch_unchanged import UnchangedEvents
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.difference.difference import UntoldRow
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import ANSWER, EMITTED, HANDLER, TIMER, OrderKey, Place, RecordedEvent
from streams.outcome import Outcome, Rejected
from tests.applications import bank
from tests.applications.bank.events import AccountDebit, AccountRow
from tests.applications.shop.events import PaymentCharge
from tests.support.other_code import Handler, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, made, past_of


class QuickReplay:
    """A replay by the code that made a past, with what it has found out so far."""

    def __init__(self, past: Past, handlers: ApplicationHandlers) -> None:
        self.findings = BranchFindings(len(past), None)
        self.lineage = BranchLineage(past, handlers, BranchQueue())
        self.rows: dict[Place, BranchRow] = {}
        self.erased, self.otherwise = set[Place](), set[OrderKey]()
        base = LocalCode(handlers)
        self._events = UnchangedEvents(
            past, base, handlers, self.findings, self.rows, self.lineage, self.erased, self.otherwise, set()
        )

    def take(self, it: RecordedEvent) -> bool:
        """Whether it is taken; if not, nothing was done."""
        counted, rows = self.findings.found.decided, {**self.rows}
        is_taken = self._events.take(it)
        assert is_taken or (self.findings.found.decided, self.rows) == (counted, rows)
        return is_taken

    def put(self, it: RecordedEvent, row: Record | None = None, **members: object) -> None:
        """Its row, as if it had been reached at an event before."""
        self.rows[it.place] = replace(BranchRow(it.order, (None, 0), row, 0, []), **members)


def opened() -> tuple[QuickReplay, RecordedEvent]:
    """An account, of which the first event has its turn."""
    there = made("bank", 12)[1]
    past = past_of(there)
    return QuickReplay(past, ApplicationHandlers(there.app, there.codec)), next(iter(past.events()))


def timer(it: RecordedEvent, **members: bool) -> BranchTimer:
    return BranchTimer(1, it.place, BranchTurn(it.event, "ring", b"", TIMER), own=True, **members)


FOUND_OUT: dict[str, Callable[[QuickReplay, RecordedEvent], object]] = {
    "an answer is not known": lambda replay, it: replay.findings.wait(BranchRow(it.order, (None, 0), None, 0, []), it, again=True),
    "an event of its row was erased": lambda replay, it: replay.erased.add(it.place),
    "it has become otherwise": lambda replay, it: replay.otherwise.add(it.order),
    "it is gone": lambda replay, it: replay.lineage.miss(it),
    "another one of its id was decided": lambda replay, it: replay.lineage.repeat(it, it.place),
    "its row is another one": lambda replay, it: replay.put(it, AccountRow(balance=1)),
    "its row is parked": lambda replay, it: replay.put(it, stopped=True),
    "its row cannot be told": lambda replay, it: replay.put(it, untold=UntoldRow(it.place, it, "erased")),
    "its row is told anew": lambda replay, it: replay.put(it, told_anew=UntoldRow(it.place, it, "erased")),
    "a timer waits that did not": lambda replay, it: replay.put(it, timers=[timer(it)]),
    "a timer waits again": lambda replay, it: replay.put(it, timers=[timer(it, known=True, again=True)]),
}


@pytest.mark.parametrize("found_out", FOUND_OUT.values(), ids=FOUND_OUT)
def test_an_event_is_not_plain_if_anything_is_found_out_about_it(found_out: Callable[[QuickReplay, RecordedEvent], object]) -> None:
    """It is taken without that, also where its row was reached before and a timer waits there as it did in the past."""
    replay, it = opened()
    found_out(replay, it)
    assert not replay.take(it)
    replay, it = opened()
    replay.put(it, timers=[timer(it, known=True)])
    assert replay.take(it)


def with_events(there: Partitions, changed: Callable[[RecordedEvent], list[RecordedEvent]]) -> MemoryPast:
    return MemoryPast(each for it in past_of(there).events() for each in changed(it))


def is_taken(there: Partitions, past: Past, order: OrderKey, handlers: ApplicationHandlers | None = None) -> bool:
    """Whether the event at a place is, behind all before it."""
    replay = QuickReplay(past, handlers or ApplicationHandlers(there.app, there.codec))
    for it in past.events():
        if it.order >= order:
            assert it.order == order
            return replay.take(it)
        replay.take(it)
    raise AssertionError(order)


def replaced(was: RecordedEvent, *by: RecordedEvent) -> Callable[[RecordedEvent], list[RecordedEvent]]:
    return lambda it: [*by] if it.order == was.order else [it]


@pytest.mark.parametrize("by", ["operator", "retold"])
def test_what_a_person_has_rejected_is_not_asked_of_its_handler(by: str) -> None:
    """Also where it says the same reason now: it may be one that never returned, for which the person has rejected it."""
    there = Partitions(bank.app(), 1, now=START)
    there.publish(AccountDebit(account="a", amount=5, transfer="t"), "debit", START)
    there.settle()
    [was] = (it for it in past_of(there).events() if it.event.id == "debit")
    asked = list[Event[AccountDebit]]()

    def refusing(_: Handler) -> Handler:
        def refuse(_: object, event: Event[AccountDebit]) -> Outcome[AccountRow]:
            asked.append(event)
            raise Rejected("not today")

        return refuse

    handlers = ApplicationHandlers(with_change(there.app, AccountDebit, refusing), there.codec)
    rejected = replace(was, accepted=False, by=HANDLER, reason="not today")
    for each in (rejected, replace(rejected, by=by)):
        asked.clear()
        past = MemoryPast([each])
        assert is_taken(there, past, was.order, handlers) == (each.by == HANDLER) == bool(asked)


def a_request() -> tuple[Partitions, RecordedEvent, RecordedEvent]:
    """That a gateway has answered, with the answer."""
    there = made("shop", 3)[1]
    past = past_of(there)
    for it in past.events():
        effects = past.effects(it.reference)
        if isinstance(it.event.data, PaymentCharge) and effects and is_taken(there, past, it.order):
            return there, it, effects[0]
    raise AssertionError("no gateway was asked")


def earlier(it: RecordedEvent, than: OrderKey) -> OrderKey:
    return it.order._replace(recorded=than.recorded - 1)


ANSWERS: dict[str, Callable[[RecordedEvent, RecordedEvent], list[RecordedEvent]]] = {
    "it is another event's effect": lambda _, answer: [replace(answer, kind=EMITTED)],
    "it stands before the request": lambda request, answer: [replace(answer, order=earlier(answer, request.order))],
    "there are two": lambda _, answer: [answer, replace(answer, order=answer.order._replace(sequence=10**6))],
}


@pytest.mark.parametrize("changed", ANSWERS.values(), ids=ANSWERS)
def test_a_request_is_not_plain_if_its_answer_is_not(
    changed: Callable[[RecordedEvent, RecordedEvent], list[RecordedEvent]]
) -> None:
    """It is with the one answer that was recorded behind it, and with none: that had not come yet."""
    there, request, answer = a_request()
    assert answer.kind == ANSWER
    assert is_taken(there, with_events(there, replaced(answer)), request.order)
    assert not is_taken(there, with_events(there, replaced(answer, *changed(request, answer))), request.order)


def test_a_request_that_was_rejected_is_not_plain() -> None:
    """No handler decides it, so none says why again."""
    there, request, answer = a_request()
    rejected = replace(request, accepted=False, by=HANDLER, reason="no")
    past = with_events(there, lambda it: [] if it.order == answer.order else replaced(request, rejected)(it))
    assert not is_taken(there, past, request.order)


def test_an_event_that_expects_a_version_is_not_plain() -> None:
    """Versions are compared on the careful way."""
    replay, it = opened()
    assert not replay.take(replace(it, expected=0))
    assert replay.take(it)


def test_an_effect_that_stands_before_its_cause_is_not_plain() -> None:
    """As by a worker whose clock was ahead."""
    there = made("bank", 12)[1]
    past = past_of(there)
    effect = next(it for it in past.events() if it.kind == EMITTED)
    [cause] = past.find_all(effect.cause or "")
    assert is_taken(there, past, cause.order)
    before = replace(effect, order=earlier(effect, cause.order))
    assert not is_taken(there, with_events(there, replaced(effect, before)), cause.order)


def test_an_effect_of_another_time_is_not_plain() -> None:
    """What is emitted at once has its cause's time."""
    there = made("bank", 12)[1]
    past = past_of(there)
    effect = next(it for it in past.events() if it.kind == EMITTED)
    [cause] = past.find_all(effect.cause or "")
    later = replace(effect, event=replace(effect.event, time=effect.event.time + timedelta(seconds=1)))
    assert not is_taken(there, with_events(there, replaced(effect, later)), cause.order)
