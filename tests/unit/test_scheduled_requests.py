"""A gateway's request that was scheduled by an event of its own key: its timer and its call have one id."""

from __future__ import annotations

from datetime import timedelta

from streams import App, Event, Gateway, Namespace, Outcome, Scheduled
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.stored import due_record
from streams.engine.timers import due_timers
from streams.testing import World
from streams.worker.image_reader import ImageReader
from tests.applications import shop
from tests.applications.shop.events import PaymentCharged, PaymentRefund, PaymentRefunded, PaymentRow
from tests.support.kept import Kept

HOUR = timedelta(hours=1)
REFUND = PaymentRefund(order="o", receipt="r")
payment = Namespace("payment", row=PaymentRow)


@payment.handles(PaymentCharged, emits=[PaymentRefund])
def charged(row: PaymentRow | None, event: Event[PaymentCharged]) -> Outcome[PaymentRow]:
    later = PaymentRefund(order=event.key, receipt=event.data.receipt)
    return Outcome(PaymentRow(status="charged"), emit=[Scheduled(later, at=event.time + HOUR)])


@payment.handles(PaymentRefunded)
def refunded(row: PaymentRow | None, event: Event[PaymentRefunded]) -> Outcome[PaymentRow]:
    return Outcome(PaymentRow(status="refunded"))


def app() -> App:
    return App(
        name="later",
        namespaces=[payment],
        gateways=[Gateway(PaymentRefund, shop.CardApi().refund, answers=[PaymentRefunded])],
    )


def test_a_scheduled_request_is_asked_when_it_is_due() -> None:
    """Once. The end of its timer is not the end of its call."""
    world = World(app())
    world.when(PaymentCharged(order="o", receipt="r"))
    assert world.calls == []
    world.advance(HOUR)
    assert world.calls == [REFUND]
    assert world.table(payment)["o"] == PaymentRow(status="refunded")
    assert (len(world.image("payment").due), len(world.image("payment").calls)) == (0, 0)


def test_its_call_takes_its_timers_place() -> None:
    """In the due topic they have one key: a worker that goes on agrees with one that takes over, and with the marker."""
    engine, image = Engine(app(), "payment", codec_of(app())), Image()
    value = engine.codec.encode(PaymentCharged(order="o", receipt="r"))
    image.apply(engine.handle(image, [(0, b"o", value, [("ce_time", b"2026-01-01T00:00:00Z")], 0)], 1))
    [timer] = image.due.values()
    batch = engine.begin(image, timer.at)
    batch.fire(due_timers(image, timer.at))
    expected, written = image.pending_after(batch.changes), [timer, *batch.changes.calls.values()]
    image.apply(batch.changes)
    reading = ImageReader(engine, 0)
    for it in written:
        reading.due(Kept(*due_record("payment", it)))  # type: ignore[arg-type]  # reads alike
    assert batch.changes.settled == {}
    assert (len(image.calls), len(image.due)) == expected == (1, 0)
    assert (reading.image().calls, reading.image().due) == (image.calls, image.due)
