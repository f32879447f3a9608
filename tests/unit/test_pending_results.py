"""What gateways answered, on its way into transactions: together, in order, once, and again if it was not committed."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.engine import control
from streams.engine.batch import CallAnswer, PartitionWork
from streams.engine.changes import CallReference, Changes, PendingCall
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.pending import PendingCalls
from streams.engine.timers import due_timers
from streams.worker.call_queues import Assignment
from streams.worker.caller import Caller, CallResult
from streams.worker.due_bodies import FoundBodies
from streams.worker.gateway_calls import RESULTS, Came, GatewayCalls, answers_of
from streams.worker.restore import RestoredImage
from streams.worker.task import PartitionTask
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge, PaymentCharged
from tests.support.answers import came_of
from tests.support.asked import Asked

APP = shop.app()
CODEC = codec_of(APP)
Answering = Callable[[Came], None]


def running(image: Image, inbox_end: int = 0, epoch: int = 0) -> PartitionTask:
    """The task of a partition that was restored."""
    task = PartitionTask(Assignment(image.partition, epoch), 0)
    task.run(RestoredImage(image, inbox_end), 0)
    return task


def nothing_left(_partition: int, _calls: Sequence[CallReference]) -> FoundBodies:
    raise AssertionError("all bodies are in memory")


class Payments:
    """One partition of the shop's payments with a request for each of `keys`, all of them asked."""

    def __init__(self, *keys: str) -> None:
        self.engine = Engine(APP, "payment", CODEC)
        self.image = self.engine.image()
        self.pending, self.task = GatewayCalls(self._caller, time.monotonic, nothing_left), running(self.image)
        requests = [CODEC.encode(PaymentCharge(order=key, amount=1)) for key in keys]
        records = [(at, keys[at].encode(), value, None, 0) for at, value in enumerate(requests)]
        self.apply(self.engine.handle(self.image, records, 1))

    def _caller(self, done: Answering) -> Asked:
        self.asked = Asked(done)
        return self.asked

    def apply(self, changes: Changes) -> None:
        """Each time, what the marker would say of what is pending is what is pending."""
        expected = self.image.pending_after(changes)
        self.image.apply(changes)
        assert expected == (len(self.image.calls), len(self.image.due))
        self.pending.committed(self.task, changes)

    def answer(self) -> None:
        for call in list(self.asked.calls):
            self.asked.done(CallResult(self.asked.assignment, call, PaymentCharged(order=call.event.key, receipt="r")))

    def give_up(self, *numbers: int) -> None:
        for number in numbers:
            self.asked.done(CallResult(self.asked.assignment, self.asked.calls[number], None, "closed"))

    def take_answer(self, call: PendingCall) -> None:
        """From the inbox, where a worker before this one put it."""
        answer = CallAnswer(call, PaymentCharged(order=call.event.key, receipt="r"))
        [emitted] = came_of(self.engine, self.image, answer, 2).emitted
        record = (self.image.inbox_next, emitted.key, emitted.value, emitted.headers, 0)
        self.apply(self.engine.handle(self.image, [record], 3))

    def next(self) -> Changes:
        """What a transaction would hold of what came in."""
        self.pending.sort([self.task])
        batch = self.engine.begin(self.image, 2)
        for _ in batch.process(PartitionWork(answers_of(self.task.results))):
            pass
        return batch.changes

    def owed(self) -> Iterator[Changes]:
        """Each as it is committed."""
        while (changes := self.next()).answered:
            self.apply(changes)
            if changes.handled:
                yield changes

    def reassign(self) -> None:
        """The partition goes, and comes back."""
        self.task.close(1)
        self.pending.closed(self.task)
        self.task = running(self.image, 0, self.task.assignment.epoch + 1)


def test_who_is_asked_here_is_asked_as_a_caller_is() -> None:
    """Else what follows would say nothing of a worker."""
    asked = {name for name in vars(Caller) if not name.startswith("_")}
    assert {name: inspect.signature(getattr(Asked, name)) for name in asked} == {
        name: inspect.signature(getattr(Caller, name)) for name in asked
    }


def test_many_answers_share_a_transaction() -> None:
    """A transaction for each would hold the inbox up for as long as the group waits for us."""
    payments = Payments(*map(str, range(RESULTS + 1)))
    payments.answer()
    assert [len(changes.emitted) for changes in payments.owed()] == [RESULTS, 1]
    assert payments.image.counters.emitted == RESULTS + 1
    assert list(payments.owed()) == []


def test_many_requests_that_are_given_up_share_a_transaction() -> None:
    """A mail server that is down parks thousands; of one key all go together, in order."""
    payments = Payments("a", "b", "b", "c")
    payments.give_up(0, 1, 3)
    assert [changes.handled for changes in payments.owed()] == [4]
    assert {key: [aside.offset for aside in queue] for key, queue in payments.image.parked.items()} == {
        "a": [0], "b": [1, 2], "c": [3],
    }  # fmt: skip
    assert payments.image.calls == {}
    assert payments.asked.went_on == [("a", []), ("b", []), ("c", [])]


def test_a_request_given_up_takes_those_behind_it_along() -> None:
    """A refund may not be paid before its charge. A retry asks for both, in order."""
    payments = Payments("a", "a", "b")
    payments.give_up(0)
    [changes] = payments.owed()
    assert [aside.header.reason for aside in changes.set_aside] == [
        "closed", "a request of this key before it is unanswered",
    ]  # fmt: skip
    assert [call.event.key for call in payments.image.calls.values()] == ["b"]
    retry = control.encode(OperatorCommand("retry", "a", 0, "ada"))
    payments.apply(payments.engine.handle(payments.image, [(3, b"a", retry, None, 0)], 3))
    assert [call.offset for call in payments.asked.calls] == [0, 1, 2, 0, 1]
    assert payments.image.parked == {}


def test_what_was_given_up_and_is_settled_holds_up_nobody() -> None:
    """Its answer was handled meanwhile; those behind it are still to be called."""
    payments = Payments("a", "a")
    payments.give_up(0)
    first = payments.asked.calls[0]
    payments.take_answer(first)
    assert list(payments.owed()) == []
    [(key, ids)] = payments.asked.went_on
    assert (key, ids) == ("a", [payments.asked.calls[1].event.reference])


def test_what_was_not_committed_comes_again_in_order() -> None:
    """Before what came in later; and nothing comes twice."""
    payments = Payments("a", "b")
    payments.answer()
    refused = payments.next()
    assert [emitted.key for emitted in refused.emitted] == [b"a", b"b"]
    assert [[emitted.key for emitted in changes.emitted] for changes in payments.owed()] == [[b"a", b"b"]]
    assert list(payments.owed()) == []


@pytest.mark.parametrize("waited", [True, False])
def test_a_partition_that_is_anothers_is_its_owners(waited: bool) -> None:
    """Whether it went before the results were looked at, or while they waited."""
    payments = Payments("a")
    payments.answer()
    if waited:
        payments.next()
    payments.reassign()
    payments.pending.sort([])
    assert list(payments.owed()) == []


def test_what_is_pending_is_counted_as_changes_come() -> None:
    """Asked, answered, and the answer handled: the call is pending until then. And so with a timer."""
    payments = Payments("a", "b")
    assert len(payments.image.calls) == 2
    payments.answer()
    [changes] = payments.owed()
    assert len(payments.image.calls) == 2
    answers = [(2 + n, it.key, it.value, it.headers, 0) for n, it in enumerate(changes.emitted)]
    payments.apply(payments.engine.handle(payments.image, answers, 3))
    assert payments.image.pending_after(payments.engine.handle(payments.image, [], 3)) == (0, 0)
    orders = Engine(APP, "order", CODEC)
    image, placed = orders.image(), OrderPlace(order="o", customer="c", lines=(Line(sku="s", quantity=1),))
    image.apply(orders.handle(image, [(0, b"o", CODEC.encode(placed), None, 0)], 1))
    assert image.pending_after(orders.handle(image, [], 1)) == (0, 1)
    fired = orders.begin(image, 1 + 3_600_000_000)
    fired.fire(due_timers(image, 1 + 3_600_000_000))
    assert image.pending_after(fired.changes) == (0, 0)


class Restoring:
    """Payments of which one was restored by another worker, with an inbox that goes on to `end`."""

    def __init__(self, end: int) -> None:
        self.image = Payments("a").image
        self.pending = GatewayCalls(self._caller, time.monotonic, nothing_left)
        self.asked: Asked | None = None
        self.task = running(self.image, end)

    def _caller(self, done: Answering) -> Asked:
        self.asked = Asked(done)
        return self.asked

    def called(self) -> bool:
        self.pending.sort([self.task])
        return self.asked is not None


def test_a_restored_call_waits_until_the_inbox_is_read() -> None:
    """Its answer may lie there: then the outside world is not asked again."""
    restoring = Restoring(end=5)
    assert not restoring.called()
    restoring.image.inbox_next = 5
    assert restoring.called()


def test_an_inbox_that_ends_behind_records_of_kafkas_own_is_read() -> None:
    """Where it ends is reported by the client; an end before that of the restore is not it."""
    restoring = Restoring(end=5)
    restoring.task.read_to(4)
    assert not restoring.called()
    restoring.task.read_to(5)
    assert restoring.called()


def test_what_was_asked_before_a_partition_went_says_nothing_when_it_is_back() -> None:
    """It is asked again: what came of it before may be older than what was restored."""
    payments = Payments("a")
    payments.give_up(0)
    payments.reassign()
    assert list(payments.owed()) == []
    _, again = payments.asked.calls
    payments.asked.done(CallResult(payments.asked.assignment, again, PaymentCharged(order="a", receipt="r")))
    assert [len(changes.emitted) for changes in payments.owed()] == [1]


def test_a_key_goes_on_with_what_is_pending_behind_what_was_given_up() -> None:
    """What was answered before it is pending too, until its answer is handled; who calls knows what stands behind."""
    payments = Payments("a", "a", "b")
    first, second, _ = payments.asked.calls
    payments.asked.done(CallResult(payments.asked.assignment, first, PaymentCharged(order="a", receipt="r")))
    payments.give_up(1)
    list(payments.owed())
    assert payments.asked.went_on == [("a", [first.event.reference])]
    assert payments.image.parked["a"][0].offset == second.offset


def test_an_answer_is_published_whatever_became_of_its_request() -> None:
    """The door counts it, rejects it or finds its request: what the outside world did is not thrown away."""
    payments = Payments("a")
    payments.answer()
    payments.take_answer(payments.asked.calls[0])
    assert payments.image.calls == {}
    [changes] = payments.owed()
    record = (payments.image.inbox_next, b"a", changes.emitted[0].value, changes.emitted[0].headers, 0)
    assert payments.engine.handle(payments.image, [record], 3).counters.duplicates == 1


NAMES = st.sets(st.sampled_from("abcdefgh"))


@given(NAMES, NAMES, NAMES)
def test_what_will_be_pending_is_counted_as_if_it_were_there(there: set[str], new: set[str], gone: set[str]) -> None:
    """Also what comes and goes in one transaction, and what comes again."""
    pending = PendingCalls()
    for name in there:
        pending.add(CallReference(name, "k", 0, 0, 1))
    assert pending.count_after(new, gone) == len((there | new) - gone)
