"""Answers of gateways that come late: for a request that was given up, in the batch of its retry, or a second time."""

from __future__ import annotations

from functools import partial

from streams.codec import codec_of
from streams.data import EventData
from streams.engine import control
from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.calls import parked_request
from streams.engine.changes import Changes, ParkedReference, PendingCall, QueuedRecord
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.records import InboxRecord
from streams.worker.parked_bodies import RecentlyParked
from tests.applications import shop
from tests.applications.shop.events import (
    PaymentCharge,
    PaymentCharged,
    PaymentRefund,
    PaymentRefunded,
    PaymentRow,
)
from tests.support.answers import came_of
from tests.support.kept import ParkedTopic

APP = shop.app()
CODEC = codec_of(APP)
CHARGE, REFUND = PaymentCharge(order="k", amount=1), PaymentRefund(order="k", receipt="r")


class Site:
    """The shop's payments, of one key."""

    def __init__(self, *requests: EventData) -> None:
        self.engine = Engine(APP, "payment", CODEC)
        self.image, self.topic = self.engine.image(), ParkedTopic(self.engine)
        for data in requests:
            self.take(self.record(CODEC.encode(data)))
        self.calls = list(self.image.calls.values())

    def record(self, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> InboxRecord:
        return (self.image.inbox_next, b"k", value, headers, 0)

    def take(self, *records: InboxRecord) -> Changes:
        changes = self.engine.handle(self.image, records, 5)
        self.topic.write(self.image, changes)
        return changes

    def give_up(self, call: PendingCall) -> None:
        self.changes = came_of(self.engine, self.image, CallGivenUp(call, "closed"), 5)
        self.topic.write(self.image, self.changes)

    def answer(self, call: PendingCall, data: EventData) -> InboxRecord:
        """What a worker published, before it died."""
        [emitted] = came_of(self.engine, self.image, CallAnswer(call, data), 4).emitted
        return self.record(emitted.value, emitted.headers)

    def leave(self) -> list[QueuedRecord]:
        """What the key's queue has once all bodies have left memory."""
        recent = RecentlyParked(0)
        recent.committed(self.image, self.changes)
        recent.leave(self.image, len(self.changes.set_aside), partial(parked_request, self.engine.wire))
        return self.image.parked["k"]

    def retry(self, place: int) -> InboxRecord:
        return self.record(control.encode(OperatorCommand("retry", "k", place, "ada")))

    @property
    def queue(self) -> list[tuple[int, str]]:
        """Places and statuses of what is parked; a restore agrees."""
        restored = self.topic.restored().parked
        assert restored == self.image.parked
        return [(aside.offset, aside.header.status) for aside in restored.get("k", [])]


def outcomes(changes: Changes) -> list[tuple[int, str, str | None]]:
    return [(logged.offset, logged.outcome, logged.reason) for logged in changes.log]


def test_an_answer_frees_the_request_that_was_given_up_meanwhile() -> None:
    """It lay in the inbox, and a worker asked again too soon: it is handled, and so is what waited behind."""
    site = Site(CHARGE)
    site.give_up(site.calls[0])
    site.take(site.record(CODEC.encode(PaymentRefunded(order="k", receipt="behind"))))
    assert site.queue == [(0, "unanswered"), (1, "parked")]
    changes = site.take(site.answer(site.calls[0], PaymentCharged(order="k", receipt="r")))
    assert outcomes(changes) == [(2, "accepted", None), (1, "accepted", None)]
    assert site.queue == []
    assert site.image.calls == {}


def test_an_answer_behind_others_takes_the_place_of_its_request() -> None:
    """Order of a key: what is before it was not answered yet; and it is not asked for again."""
    site = Site(CHARGE, REFUND)
    charge, refund = site.calls
    site.give_up(charge)
    assert site.queue == [(0, "unanswered"), (1, "unanswered")]
    site.take(site.answer(refund, PaymentRefunded(order="k", receipt="r")))
    assert site.queue == [(0, "unanswered"), (1, "parked")]
    changes = site.take(site.retry(0))
    assert [call.event.id for call in changes.calls.values()] == [charge.event.id]
    assert site.image.rows["k"][0] == PaymentRow(status="refunded")
    assert site.queue == []


def test_an_answer_finds_a_request_whose_body_is_in_its_topic_alone() -> None:
    """A mail server that was away leaves thousands of them. A worker knows them by their references, and so does its successor."""
    site = Site(CHARGE, REFUND)
    charge, refund = site.calls
    site.give_up(charge)
    left = site.leave()
    assert [(type(it), it.status) for it in left] == [(ParkedReference, "unanswered")] * 2
    assert [it.request for it in left] == [charge.event.reference, refund.event.reference]
    assert [it.request for it in site.topic.without_bodies().parked["k"]] == [it.request for it in left]
    changes = site.take(site.answer(refund, PaymentRefunded(order="k", receipt="r")))
    assert [(it.offset, it.header.reason) for it in changes.set_aside] == [(1, "an event of this key before it is parked")]
    changes = site.take(site.answer(charge, PaymentCharged(order="k", receipt="r")))
    assert outcomes(changes) == [(3, "accepted", None), (2, "accepted", None)]
    assert site.image.parked == {}


def test_an_answer_in_the_batch_of_its_retry_settles_it() -> None:
    """It is pending again, also before that is committed; and it is not called."""
    site = Site(CHARGE)
    site.give_up(site.calls[0])
    late = site.answer(site.calls[0], PaymentCharged(order="k", receipt="r"))
    changes = site.take(site.retry(0), (late[0] + 1, *late[1:]))
    assert outcomes(changes) == [(2, "accepted", None)]
    assert list(changes.settled) == list(changes.calls)
    assert (site.image.calls, site.queue) == ({}, [])


def test_of_two_answers_one_is_handled() -> None:
    """The same again is a counted duplicate; another one is rejected, and kept in the log for an operator to see."""
    site = Site(CHARGE)
    first = PaymentCharged(order="k", receipt="first")
    site.take(site.answer(site.calls[0], first))
    site.take(site.answer(site.calls[0], first))
    changes = site.take(site.answer(site.calls[0], PaymentCharged(order="k", receipt="second")))
    assert outcomes(changes) == [(3, "rejected", "already answered")]
    assert (site.image.counters.duplicates, site.image.counters.quarantined) == (1, 0)
