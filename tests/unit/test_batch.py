"""One batch of a partition: answers, timers and records over one overlay, and one thing that comes out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import App, Event, Gateway, Namespace, Outcome, Scheduled
from streams.codec import codec_of
from streams.data import EventData
from streams.engine import control
from streams.engine.batch import LARGEST_PIECE, SMALLEST_PIECE, CallAnswer, CallGivenUp, PartitionWork
from streams.engine.changes import Changes, PendingTimer
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import EmittedRecord, InboxRecord
from streams.engine.timers import due_timers
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentRefunded, PaymentRow
from tests.support.kept import ParkedTopic

APP = shop.app()
CODEC = codec_of(APP)


def record(offset: int, data: EventData | OperatorCommand) -> InboxRecord:
    value = control.encode(data) if isinstance(data, OperatorCommand) else CODEC.encode(data)
    return (offset, data.key.encode(), value, None, 0)


def payments(*keys: str) -> tuple[Engine, Image]:
    """With a request for each of `keys`, and a timer that is due at 5."""
    engine = Engine(APP, "payment", CODEC)
    image = engine.image()
    image.apply(
        engine.handle(image, [record(at, PaymentCharge(order=key, amount=1)) for at, key in enumerate(keys)], 1)
    )
    image.due.add(PendingTimer(5, EmittedRecord("order", b"o", b"", []), "timer", "o"))
    return engine, image


def last(engine: Engine, image: Image, work: PartitionWork, now: int) -> Changes:
    [*_, changes] = engine.process(image, work, now)
    return changes


def test_answers_timers_and_records_share_one_transaction() -> None:
    """One overlay, one set of changes and one marker: what each of them counts is counted together."""
    engine, image = payments("a", "b", "c")
    first, second, _ = image.calls.values()
    answers = [CallAnswer(first, PaymentCharged(order="a", receipt="r")), CallGivenUp(second, "closed")]
    records = [record(3, PaymentRefunded(order="c", receipt="r"))]
    changes = last(engine, image, PartitionWork(answers, due_timers(image, 5), records), 5)
    assert [emitted.key for emitted in changes.emitted] == [b"a", b"o"]
    assert (changes.answered, changes.handled, changes.inbox_next) == (2, 4, 4)
    assert (changes.counters.emitted, changes.counters.parked, changes.counters.accepted) == (2, 1, 1)
    expected = image.pending_after(changes)
    image.apply(changes)
    assert expected == (len(image.calls), len(image.due)) == (2, 0)
    assert [aside.offset for aside in image.parked["b"]] == [1]


def test_what_is_given_up_parks_what_comes_for_its_key_in_the_same_batch() -> None:
    """In the order of the inbox; the requests of the key behind it too, once each."""
    refund = PaymentRefunded(order="a", receipt="r")
    engine, image = payments("a", "a")
    work = PartitionWork(
        [CallGivenUp(call, "closed") for call in image.calls.values()],
        (),
        [record(2, refund)],
    )
    changes = last(engine, image, work, 5)
    assert [aside.offset for aside in changes.queues["a"]] == [0, 1, 2]
    assert [aside.offset for aside in changes.set_aside] == [0, 1, 2]


def test_a_request_given_up_and_tried_again_in_one_batch_is_asked_again() -> None:
    """An operator's command may have been on its way: the request is pending afterwards, and lost to neither side."""
    engine, image = payments("a")
    work = PartitionWork([CallGivenUp(*image.calls.values(), "closed")], (), [record(1, OperatorCommand("retry", "a", 0, "ada"))])
    changes = last(engine, image, work, 5)
    assert (list(changes.calls), list(changes.settled), changes.unparked) == (list(image.calls), [], [(0, 0)])
    assert image.pending_after(changes) == (1, 1)
    image.apply(changes)
    assert (len(image.calls), image.parked) == (1, {})


def test_a_batch_may_be_stopped_by_pieces() -> None:
    """Whoever stops asking has what was handled by then; the rest is the next batch's, and the same comes of both."""
    app = probe.app()
    codec = codec_of(app)
    engine = Engine(app, "probe", codec)
    records = [(at, b"k", codec.encode(ProbeDo(name="k", text=str(at))), None, 0) for at in range(100)]
    image, ends = engine.image(), []
    while image.inbox_next < 100:
        pieces = engine.process(image, PartitionWork(records=records[image.inbox_next :]), 1)
        assert next(pieces).handled == 0
        changes = next(pieces)
        ends.append(changes.inbox_next)
        image.apply(changes)
    whole = engine.image()
    whole.apply(last(engine, whole, PartitionWork(records=records), 1))
    assert ends == [*range(SMALLEST_PIECE, 100, SMALLEST_PIECE), 100]
    assert SMALLEST_PIECE < LARGEST_PIECE
    assert (image.rows, image.counters) == (whole.rows, whole.counters)


def torn() -> App:
    """Payments whose handler of receipts that begin with `bad` raises, and which schedule a refund of each charge."""
    payment = Namespace("payment", row=PaymentRow)

    @payment.handles(PaymentCharged, emits=[PaymentRefunded])
    def charged(row: PaymentRow | None, event: Event[PaymentCharged]) -> Outcome[PaymentRow]:
        if event.data.receipt.startswith("bad"):
            raise RuntimeError("a bug")
        refund = PaymentRefunded(order=event.key, receipt="later")
        return Outcome(PaymentRow(status="charged"), emit=[Scheduled(refund, event.time + timedelta(microseconds=2))])

    @payment.handles(PaymentRefunded)
    def refunded(row: PaymentRow | None, event: Event[PaymentRefunded]) -> Outcome[PaymentRow]:
        return Outcome(None)

    gateway = Gateway(PaymentCharge, shop.CardApi().charge, answers=[PaymentCharged])
    return App(name="torn", namespaces=[payment], gateways=[gateway])


TORN = torn()
keys = st.sampled_from("ab")
arrivals = st.one_of(
    st.builds(PaymentCharge, order=keys, amount=st.integers(1, 2)),
    st.builds(PaymentCharged, order=keys, receipt=st.sampled_from(["good", "bad"])),
    st.builds(PaymentRefunded, order=keys, receipt=st.just("r")),
    st.tuples(st.sampled_from(["retry", "reject", "answer"]), keys),
)
rounds = st.tuples(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["good", "bad", None])), max_size=3),
    st.booleans(),
    st.lists(arrivals, max_size=5),
)


class Partition:
    """Handled in one transaction a round, or in several: what comes out for its own inbox comes back."""

    def __init__(self, *, together: bool) -> None:
        self.engine = Engine(TORN, "payment", codec_of(TORN))
        self.image, self.topic = self.engine.image(), ParkedTopic(self.engine)
        self.together = together

    def apply(self, changes: Changes) -> list[EmittedRecord]:
        expected = self.image.pending_after(changes)
        self.topic.write(self.image, changes)
        assert expected == (len(self.image.calls), len(self.image.due))
        assert self.topic.restored().parked == self.image.parked
        return changes.emitted

    def do(self, work: PartitionWork, now: int) -> list[EmittedRecord]:
        parts = [work] if self.together else [PartitionWork([it]) for it in work.answers]
        if not self.together:
            parts += [PartitionWork(timers=work.timers), *(PartitionWork(records=[record]) for record in work.records)]
        return [emitted for part in parts for emitted in self.apply(last(self.engine, self.image, part, now))]

    @property
    def state(self) -> Any:
        image = self.image
        parked = {key: [aside.offset for aside in queue] for key, queue in image.parked.items()}
        pending = set(image.calls), dict(image.due)
        return image.rows, parked, pending, image.parked_ids, image.counters, image.sequence, image.inbox_next

    def command(self, name: Any, key: str) -> OperatorCommand:
        """About what is first in the key's queue now."""
        queue = self.image.parked.get(key)
        hand = CODEC.encode(PaymentCharged(order=key, receipt="good"))
        return OperatorCommand(name, key, queue[0].offset if queue else 0, "ada", "", hand)


@settings(max_examples=40, deadline=None)  # seconds are what unit tests may take
@given(st.lists(rounds, max_size=4))
def test_one_transaction_comes_to_the_same_as_many(steps: list[Any]) -> None:
    """Answers, requests that are given up, timers, events and commands: however they share transactions (rule 9)."""
    one, many = Partition(together=True), Partition(together=False)
    inbox: list[tuple[bytes, bytes, Any]] = []
    for partition in (one, many):
        asked = [record(at, PaymentCharge(order=key, amount=1)) for at, key in enumerate("aab")]
        partition.do(PartitionWork(records=asked), 0)
    for now, (came, fire, arrived) in enumerate(steps, 1):
        calls = list(one.image.calls.values())
        answers: list[CallAnswer | CallGivenUp] = []
        for number, receipt in came:
            if calls:
                call = calls[number % len(calls)]
                answer = CallAnswer(call, PaymentCharged(order=call.event.key, receipt=receipt or ""))
                answers.append(answer if receipt else CallGivenUp(call, "closed"))
        for it in arrived:
            data = one.command(*it) if isinstance(it, tuple) else it
            value = control.encode(data) if isinstance(data, OperatorCommand) else CODEC.encode(data)
            inbox.append((data.key.encode(), value, []))
        records = [(one.image.inbox_next + number, *record, 0) for number, record in enumerate(inbox)]
        work = PartitionWork(answers, due_timers(one.image, now) if fire else (), records)
        first, second = one.do(work, now), many.do(work, now)
        assert [(it.key, it.value, it.headers) for it in first] == [(it.key, it.value, it.headers) for it in second]
        assert one.state == many.state
        inbox = [(it.key, it.value, it.headers) for it in first]
