"""What gateways answered, on its way into transactions: together, in order, once, and again if it was not committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.pending import fire
from streams.engine.records import Call, Changes
from streams.worker.caller import Caller, Result
from streams.worker.pending import RESULTS, Pending
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge, PaymentCharged

APP = shop.app()
CODEC = codec_of(APP)
Answering = Callable[[Result], None]


class Asked(Caller):
    """Keeps what it is asked for; a test says what came of it."""

    def __init__(self, done: Answering) -> None:
        self.done, self.calls = done, list[Call]()

    def submit(self, partition: int, calls: list[Call]) -> None:
        self.calls += calls

    def forget(self, partition: int) -> None:
        self.calls.clear()


class Payments:
    """One partition of the shop's payments with a request for each of `keys`, all of them asked."""

    def __init__(self, *keys: str) -> None:
        self.engine = Engine(APP, "payment", CODEC)
        self.image = self.engine.image()
        self.pending = Pending(self.engine, self._caller)
        requests = [CODEC.encode(PaymentCharge(order=key, amount=1)) for key in keys]
        records = [(at, keys[at].encode(), value, None, 0) for at, value in enumerate(requests)]
        self.apply(self.engine.handle(self.image, records, 1))

    def _caller(self, done: Answering) -> Caller:
        self.asked = Asked(done)
        return self.asked

    def apply(self, changes: Changes) -> None:
        """Each time, what the marker would say of what is pending is what is pending."""
        expected = self.image.pending_after(changes)
        self.image.apply(changes)
        assert expected == (len(self.image.calls), len(self.image.due))
        self.pending.committed(changes)

    @property
    def images(self) -> dict[int, Image]:
        return {0: self.image}

    def answer(self) -> None:
        for call in self.asked.calls:
            self.asked.done(Result(0, call, PaymentCharged(order=call.event.key, receipt="r")))

    def give_up(self) -> None:
        for call in self.asked.calls:
            self.asked.done(Result(0, call, None, "closed"))

    def owed(self) -> Iterator[Changes]:
        """Each as it is committed."""
        for changes in self.pending.owed(self.images, 2):
            self.apply(changes)
            yield changes


def test_many_answers_share_a_transaction() -> None:
    """A transaction for each would hold the inbox up for as long as the group waits for us."""
    payments = Payments(*map(str, range(RESULTS + 1)))
    payments.answer()
    assert [len(changes.emitted) for changes in payments.owed()] == [RESULTS, 1]
    assert payments.image.counters.emitted == RESULTS + 1
    assert list(payments.owed()) == []


def test_many_requests_that_are_given_up_share_a_transaction() -> None:
    """A mail server that is down parks thousands; requests of one key stay in order."""
    payments = Payments("a", "b", "b", "c")
    payments.give_up()
    assert [changes.handled for changes in payments.owed()] == [2, 2]
    assert {key: [aside.offset for aside in queue] for key, queue in payments.image.parked.items()} == {
        "a": [0], "b": [1, 2], "c": [3],
    }  # fmt: skip
    assert payments.image.calls == {}


def test_what_was_not_committed_comes_again_in_order() -> None:
    """Before what came in later; and nothing comes twice."""
    payments = Payments("a", "b")
    payments.answer()
    refused = next(payments.pending.owed(payments.images, 2))
    assert [emitted.key for emitted in refused.emitted] == [b"a", b"b"]
    assert [[emitted.key for emitted in changes.emitted] for changes in payments.owed()] == [[b"a", b"b"]]
    assert list(payments.owed()) == []


@pytest.mark.parametrize("leave", [True, False])
def test_a_partition_that_is_anothers_is_its_owners(leave: bool) -> None:
    """Whether it went before the results were looked at, or while they waited."""
    payments = Payments("a")
    payments.answer()
    if leave:
        next(payments.pending.owed(payments.images, 2))
        payments.pending.gone(0)
    assert list(payments.pending.owed({}, 2)) == []
    assert list(payments.pending.owed(payments.images, 2)) == []


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
    fired = fire(image, 1 + 3_600_000_000)
    assert fired is not None
    assert image.pending_after(fired) == (0, 0)
