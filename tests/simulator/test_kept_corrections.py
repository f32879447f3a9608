"""Plans that are kept in Kafka, corrections that are withdrawn, and calls that they have made wrong, in a Kafka in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

import pytest

from streams import Event
from streams.codec import codec_of
from streams.engine.changes import PendingCall
from streams.engine.envelope import ParkedHeader, pack
from streams.engine.records import QUARANTINED, UNANSWERED
from streams.engine.stored import due_record
from streams.errors import HistoryError, NotKnownYet, StalePlan, TopicMismatch
from streams.history.branch.change import InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.correction_calls import CorrectionCall
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import ROOT, OrderKey, RecordedEvent
from streams.kafka.correction_calls_topic import read_calls, write_calls
from streams.kafka.correction_claim import CorrectionClaim
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.corrections_topic import APPLYING, PLANNED, find_correction, read_claims, read_corrections
from streams.kafka.topics import topic_names
from streams.kafka.unsettled_consequences import why_unsettled
from streams.kafka.watched_corrections import WatchedCorrections
from streams.testing import World
from tests.applications import bank, shop
from tests.applications.bank.events import AccountOpen
from tests.applications.shop.events import PaymentCharge
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryConsumer, clients
from tests.simulator.time import VirtualClock

NOTHING = MemoryPast([])


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["retold-corrections"], 1)
    return it


def a_plan(key: str = "a") -> CorrectionPlan:
    world = World(bank.app())
    world.when(AccountOpen(account=key, balance=1), id=f"open-{key}")
    return world.history().correct(remove=[f"open-{key}"], by="ann", why="a test")


def coordinator(kafka: MemoryBroker, log: Past = NOTHING) -> CorrectionCoordinator:
    app = bank.app()
    return CorrectionCoordinator(
        clients(kafka), "", app, codec_of(app), lambda: nullcontext(log), name="m1-1", largest=1_000_000
    )


def test_a_plan_that_is_kept_is_found_by_its_id_and_counts_among_no_corrections(kafka: MemoryBroker) -> None:
    """By the beginning of it, too; one that is applied meanwhile is not planned again."""
    plan = a_plan()
    for _ in range(2):
        coordinator(kafka).keep(plan)
    found = read_claims(clients(kafka), "", "bank")
    assert [(it.correction, it.state, it.change) for it in found.states] == [(plan.correction, PLANNED, plan.change)]
    assert (found.claims, read_corrections(clients(kafka), "", "bank")) == ({}, [])
    assert find_correction(found, plan.correction[:8]).digest == plan.digest
    with pytest.raises(StalePlan, match="no correction has an id that begins with nobody"):
        find_correction(found, "nobody")
    with pytest.raises(StalePlan, match="no correction"):
        find_correction(found, "")


def test_what_is_put_in_by_an_id_that_came_since_it_was_planned_is_not_begun(kafka: MemoryBroker) -> None:
    """Nothing would be put in, and it would be said that nothing differs."""
    world = World(bank.app())
    there, other = (AccountOpen(account="a", balance=balance) for balance in (1, 2))
    plan = world.history().correct(insert=[InsertedEvent(other, world.now, "one", source="test")], by="ann", why="a test")
    world.when(there, id="one")
    log = world.history()._past
    coordinator(kafka).keep(plan)
    with pytest.raises(StalePlan, match="put in or published since has it"):
        coordinator(kafka, log).apply(plan)
    assert [it.state for it in read_claims(clients(kafka), "", "bank").states] == [PLANNED]


def test_an_id_of_several_is_refused(kafka: MemoryBroker) -> None:
    """Nothing is guessed."""
    plans = [a_plan(name) for name in "abcdefghijklmnopqrst"]
    for plan in plans:
        coordinator(kafka).keep(plan)
    first = [plan.correction[0] for plan in plans]
    common = next(it for it in first if first.count(it) > 1)
    with pytest.raises(StalePlan, match=f"{first.count(common)} corrections have an id"):
        find_correction(read_claims(clients(kafka), "", "bank"), common)


def test_what_has_sent_no_step_is_withdrawn(kafka: MemoryBroker) -> None:
    """Planned, or begun and stopped before anything was sent: then nothing of it is left."""
    plan = a_plan()
    coordinator(kafka).keep(plan)
    assert coordinator(kafka).withdraw(plan.correction[:8]).why == "a test"
    assert read_claims(clients(kafka), "", "bank")[:2] == ([], {})
    coordinator(kafka).keep(plan)
    claim, kept = CorrectionClaim(clients(kafka), "", "m2-1"), read_claims(clients(kafka), "", "bank").states[0]
    claim.take(kept, kept, [])
    with pytest.raises(StalePlan, match="is being applied by m2-1"):
        coordinator(kafka).withdraw(plan.correction)
    claim.end(APPLYING, 0)
    coordinator(kafka).withdraw(plan.correction)
    assert read_claims(clients(kafka), "", "bank").states == []


def test_what_may_have_sent_a_step_is_not_withdrawn(kafka: MemoryBroker) -> None:
    """A step that lies in an inbox would set a row that no correction explains."""
    plan = a_plan()
    coordinator(kafka).keep(plan)
    claim, kept = CorrectionClaim(clients(kafka), "", "m2-1"), read_claims(clients(kafka), "", "bank").states[0]
    claim.take(kept, kept, [])
    claim.send()
    claim.end(APPLYING, 0)
    with pytest.raises(StalePlan, match=r"stays in the log\. Apply it to its end, then correct it"):
        coordinator(kafka).withdraw(plan.correction)
    assert [it.state for it in read_corrections(clients(kafka), "", "bank")] == [APPLYING]


def test_nothing_is_corrected_while_a_correction_is_missing_whose_steps_are_in_the_log(kafka: MemoryBroker) -> None:
    """As after its topic was deleted: what it has set would be taken back, and nobody had asked for that."""
    world = World(bank.app())
    for key in "ab":
        world.when(AccountOpen(account=key, balance=1), id=f"open-{key}")
    later = world.history().correct(remove=["open-b"], by="ann", why="a test")
    world.apply(world.history().correct(remove=["open-a"], by="ann", why="a test"))
    so_far = world.history()._source.corrected
    assert so_far is not None
    with pytest.raises(NotKnownYet, match="the topic retold-corrections was deleted or made again: bring it back from a backup"):
        coordinator(kafka, so_far.log).apply(later)
    assert read_claims(clients(kafka), "", "bank")[:2] == ([], {})


def test_nothing_is_written_while_the_topic_is_missing(kafka: MemoryBroker) -> None:
    """Nor is it made by being written to: a broker would make one that forgets. Whoever is at work stops."""
    claim = CorrectionClaim(clients(kafka), "", "m1-1")
    coordinator(kafka).keep(a_plan())
    kept = read_claims(clients(kafka), "", "bank").states[0]
    claim.take(kept, kept, [])
    del kafka.topics["retold-corrections"]
    call = CorrectionCall("bank", "c1", "r", "would not call", "a.b", "k", "e", "open")
    for write in (
        lambda: coordinator(kafka).keep(a_plan("b")),
        lambda: coordinator(kafka).apply(a_plan("b")),
        lambda: coordinator(kafka).withdraw(kept.correction),
        lambda: write_calls(clients(kafka), "", [call]),
        claim.send,
    ):
        with pytest.raises(TopicMismatch, match="the topic retold-corrections is missing, so nothing can be kept of a correction"):
            write()
    assert "retold-corrections" not in kafka.topics


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HistoryError("the log cannot be read"), "the log cannot be read"),
        (ZeroDivisionError("by nothing"), "a fault of retold's own: ZeroDivisionError: by nothing"),
        (KeyboardInterrupt(), "its process was stopped"),
    ],
)
def test_why_a_coordinator_has_ended_before_its_end_is_kept(kafka: MemoryBroker, error: BaseException, told: str) -> None:
    """Whoever looks at the correction then knows whether somebody stopped it, or something is broken."""
    world = World(bank.app())
    world.when(AccountOpen(account="a", balance=1), id="open-a")
    plan = world.history().correct(remove=["open-a"], by="ann", why="a test")
    log = world.history()._past
    it = coordinator(kafka)
    looked: list[Past] = []

    def recorded() -> AbstractContextManager[Past]:
        if looked:
            raise error
        looked.append(log)
        return nullcontext(log)

    it._recorded = recorded
    with pytest.raises(type(error)):
        it.apply(plan)
    [state] = read_corrections(clients(kafka), "", "bank")
    assert (state.state, state.coordinator) == (APPLYING, "")
    assert state.stopped.startswith(told)


def test_calls_are_kept_one_by_one_beside_corrections(kafka: MemoryBroker) -> None:
    """The last of each counts, those of another application and those that are over do not, and none is a correction."""
    calls = [CorrectionCall("bank", "c1", f"r{number}", "would not call", "a.b", "k", "e", "open") for number in range(3)]
    other = CorrectionCall("bank2", "c1", "r0", "would not call", "a.b", "k", "e", "open")
    write_calls(clients(kafka), "", [*calls, other])
    write_calls(clients(kafka), "", [CorrectionCall("bank", "c1", "r1", "would not call", "a.b", "k", "e", "undone")], [calls[0]])
    kafka.append(("retold-corrections", 0), b"bank#r2", b"{}", [], None)
    found = read_calls(clients(kafka), "", "bank")
    assert {name: it.state for name, it in found.items()} == {"r1": "undone"}
    assert read_claims(clients(kafka), "", "bank").states == []


@pytest.mark.parametrize("stands", ["called", "unanswered", "given up"])
def test_a_request_that_an_operator_has_given_up_holds_up_no_correction(stands: str, kafka: MemoryBroker) -> None:
    """Nobody will answer it. One whose gateway is still to be called, or has failed, is waited for."""
    app = shop.app()
    kafka.create([it for space in app.namespaces for it in topic_names("", space.name)[1:]], 1)
    source = "retold/shop/order"
    event = Event(PaymentCharge(order="o1", amount=3), "charge", datetime(2026, 1, 1, tzinfo=UTC), source=source)
    value, headers = codec_of(app).encode(event.data), [("ce_id", b"charge"), ("ce_source", source.encode())]
    if stands == "called":
        kafka.append(("payment-due", 0), *due_record("payment", PendingCall(event, 5, 0, value, headers, 0)), None)
    if stands == "unanswered":
        header = ParkedHeader(UNANSWERED, "the gateway failed", "", "o1", "payment", 0, 0, 5)
        kafka.append(("payment-parked", 0), b"0", value, [*headers, ("retold_key", b"o1"), pack(header)], None)
    order = OrderKey(5, "payment", 0, 0)
    log = MemoryPast([RecordedEvent(order, event, event.reference, ROOT, accepted=True, value=value)])
    said = "payment.charge of o1 is otherwise in the corrected past, and was not answered yet"
    found = why_unsettled(clients(kafka), "", app, ApplicationHandlers(app, codec_of(app)), log, {event.reference})
    assert found == ("" if stands == "given up" else said)


def test_what_is_quarantined_for_its_headers_holds_up_no_correction(kafka: MemoryBroker) -> None:
    """Anybody can publish it, it stays there for ever, and its headers cannot be read: each correction failed from then on."""
    app = bank.app()
    kafka.create([it for space in app.namespaces for it in topic_names("", space.name)[1:]], 1)
    header = ParkedHeader(QUARANTINED, "its time is no time", "", None, "account", 0, 0, 5)
    kafka.append(("account-parked", 0), b"0", b"{}", [("ce_time", b"yesterday"), pack(header)], None)
    assert why_unsettled(clients(kafka), "", app, ApplicationHandlers(app, codec_of(app)), NOTHING, {"an event"}) == ""


def test_who_looks_again_reads_what_is_new_alone(kafka: MemoryBroker) -> None:
    """And finds what everybody finds who reads all of it: also what is taken back, and calls, and after the topic is made anew."""
    begun: list[int] = []

    class Noted(MemoryConsumer):
        def assign(self, partitions: object) -> None:
            begun.extend(it.offset for it in partitions)  # type: ignore[attr-defined]  # of the simulator's own
            super().assign(partitions)  # type: ignore[arg-type]  # as above

    made = clients(kafka, Noted)
    watched = WatchedCorrections(made, made.admin(), "", "bank")
    plans = [a_plan(name) for name in "ab"]
    coordinator(kafka).keep(plans[0])
    for _ in range(3):
        assert watched.look() == read_claims(clients(kafka), "", "bank")
    coordinator(kafka).keep(plans[1])
    write_calls(clients(kafka), "", [CorrectionCall("bank", "c1", "r1", "would not call", "a.b", "k", "e", "open")])
    assert [it.correction for it in watched.look().states] == sorted(it.correction for it in plans)
    coordinator(kafka).withdraw(plans[0].correction)
    assert [it.correction for it in watched.look().states] == [plans[1].correction]
    assert watched.calls() == read_calls(clients(kafka), "", "bank") != {}
    assert begun == [0, 1, 3]
    kafka.create(["retold-corrections"], 1)
    assert (watched.look().states, watched.calls()) == ([], {})
    coordinator(kafka).keep(plans[0])
    assert [it.correction for it in watched.look().states] == [plans[0].correction]
