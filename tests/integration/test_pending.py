"""What waits for the clock, the outside world or an operator, on a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streams import Event
from streams.config import Config
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import log_header, parked_header
from streams.engine.identity import answer_id
from streams.event import reference_of
from streams.kafka.bounded_read import headers_of
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.applications.shop.events import (
    Line,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    StockReceive,
    StockRow,
)
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until

STOCKED = (StockReceive(sku="A1", quantity=5, price=300), StockReceive(sku="B2", quantity=1, price=1000))
PLACE = OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=2), Line(sku="B2", quantity=1)))


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, gateway_tries="2", gateway_seconds="1")


class Cards(shop.CardApi):
    """Counts its calls; `how` says what each comes to."""

    def __init__(self, how: Callable[[Event[PaymentCharge]], Any] | None = None) -> None:
        self.calls: list[str] = []
        self.how = how

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        self.calls.append(event.id)
        if self.how is None:
            return await super().charge(event)
        made: PaymentCharged | PaymentDeclined = await self.how(event)
        return made


async def refuse(event: Event[PaymentCharge]) -> Any:
    raise ConnectionRefusedError("the card company is closed")


async def hang(event: Event[PaymentCharge]) -> Any:
    await asyncio.sleep(3600)


async def misfit(event: Event[PaymentCharge]) -> Any:
    return PaymentCharged(order="another", receipt="r")


def placed(foreign: Foreign, worker: Running, at: datetime | None = None) -> None:
    """Stock first, because order holds per key only."""
    foreign.publish(*STOCKED)
    until(lambda: len(worker.rows("stock")) == 2, "the stock was not received")
    foreign.publish(PLACE, ce_id="order-1", ce_source="test", ce_time=(at or datetime.now(UTC)).isoformat())


def test_a_timer_fires_once_also_after_the_worker_was_away(config: Config, broker: str) -> None:
    """It is kept in the due topic, restored by whoever owns the partition, and handled in one transaction.

    One a hundred years ahead, and one of the last year there is, are kept as well, and hold nothing up; one past fires at the
    end of the inbox.
    """
    foreign, began = Foreign(shop.app(), config, broker), datetime.now(UTC)
    with Running(shop.app(Cards(hang)), config, broker) as worker:
        foreign.publish(STOCKED[0])
        until(lambda: len(worker.rows("stock")) == 1, "the stock was not received")
        for order, time in TIMES.items():
            foreign.publish(OrderPlace(order=order, customer="c7", lines=(Line(sku="C3", quantity=1),)), ce_time=time)
        until(lambda: expired(foreign) == [b"past"], "the one that is past did not fire")
        until(lambda: scheduled(foreign) == ["century", "last year"], "the timers far ahead were not kept")
        due = datetime.now(UTC) + timedelta(seconds=2) + (datetime.now(UTC) - began)  # by then the worker has stopped
        when = (due - shop.PAY_WITHIN).isoformat()
        foreign.publish(OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=2),)), ce_time=when)
        until(lambda: len(scheduled(foreign)) == 3, "no timer was kept")
    assert expired(foreign) == [b"past"], "it fired before the worker had stopped"
    with Running(shop.app(Cards(hang)), config, broker) as worker:
        until(lambda: getattr(worker.rows("order").get("o1"), "status", "") == "cancelled", "it did not expire")
        until(lambda: worker.rows("stock") == {"A1": StockRow(free=5, price=300)}, "the stock did not come back")
    assert sorted(expired(foreign)) == [b"o1", b"past"]
    assert scheduled(foreign) == ["century", "last year"]


TIMES = {
    "century": (datetime.now(UTC) + timedelta(days=36_525)).isoformat(),
    "last year": "9999-12-31T23:00:00Z",
    "past": "1926-01-01T00:00:00Z",
}


def expired(foreign: Foreign) -> list[bytes | None]:
    """The keys of the timers that were handled, in place: none came through the inbox."""
    assert not any(type_of(m) == "order.expire" for m in foreign.read("order"))
    logged = [m for m in foreign.read("order-log") if type_of(m) == "order.expire"]
    assert all(log_header(headers_of(m)).timer for m in logged)
    return [(m.key() or b"").rpartition(b"@")[0] for m in logged]


def scheduled(foreign: Foreign) -> list[str]:
    """The keys of the timers that are pending."""
    last = {m.key(): m.value() for m in foreign.read("order-due")}.values()
    return sorted(foreign.codec.decode(value).key for value in last if value is not None)


def type_of(message: Any) -> str:
    return dict(headers_of(message)).get("ce_type", b"").decode()


@pytest.mark.parametrize(
    ("how", "words"),
    [(refuse, "the card company is closed"), (hang, "no answer in 1 s"), (misfit, "answered about 'another'")],
)
def test_a_gateway_that_gives_up_parks_its_request_and_a_retry_goes_on(
    how: Callable[[Event[PaymentCharge]], Any], words: str, config: Config, broker: str
) -> None:
    """Tried as often as the settings say; then an operator says retry, and the order is paid."""
    foreign, cards = Foreign(shop.app(), config, broker), Cards(how)
    with Running(shop.app(cards), config, broker) as worker:
        placed(foreign, worker)
        until(lambda: bool(foreign.read("payment-parked")), "nothing was parked")
        [kept] = foreign.read("payment-parked")
        header = parked_header(headers_of(kept))
        assert (header.status, header.key) == ("unanswered", "o1")
        assert words in header.reason
        cards.how = None
        say(foreign, "payment", OperatorCommand("retry", "o1", header.offset, "ada"))
        until(lambda: getattr(worker.rows("order").get("o1"), "status", "") == "paid", "it was not paid")
    assert [m.value() for m in foreign.read("payment-parked")][-1] is None


def say(foreign: Foreign, namespace: str, command: OperatorCommand) -> None:
    foreign.write(namespace, control.encode(command), command.key.encode())


def test_an_operator_may_answer_for_a_gateway(config: Config, broker: str) -> None:
    """The answer is handled in order, with the id that the gateway's would have had."""
    foreign = Foreign(shop.app(), config, broker)
    with Running(shop.app(Cards(refuse)), config, broker) as worker:
        placed(foreign, worker)
        until(lambda: bool(foreign.read("payment-parked")), "nothing was parked")
        offset = parked_header(headers_of(foreign.read("payment-parked")[0])).offset
        value = foreign.codec.encode(PaymentCharged(order="o1", receipt="by hand"))
        say(foreign, "payment", OperatorCommand("answer", "o1", offset, "ada", "called them", value))
        until(lambda: getattr(worker.rows("order").get("o1"), "receipt", "") == "by hand", "it was not paid")


def test_a_call_is_made_again_if_its_worker_left_before_the_answer(config: Config, broker: str) -> None:
    """At least once towards the world, and exactly one answer in the log."""
    foreign, hanging, cards = Foreign(shop.app(), config, broker), Cards(hang), Cards()
    with Running(shop.app(hanging), config, broker) as worker:
        placed(foreign, worker)
        until(lambda: bool(hanging.calls), "the gateway was not called")
    with Running(shop.app(cards), config, broker) as worker:
        until(lambda: getattr(worker.rows("order").get("o1"), "status", "") == "paid", "it was not paid")
    assert set(cards.calls) == set(hanging.calls)
    assert sum(type_of(m) == "payment.charged" for m in foreign.read("payment-log")) == 1


def test_a_worker_that_is_told_to_stop_hears_its_gateways_out(config: Config, broker: str) -> None:
    """So a deploy makes no call twice: what is in flight is answered, and nothing more is begun."""

    async def slow(event: Event[PaymentCharge]) -> PaymentCharged:
        while not first.told_to_stop:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.5)  # by then its poll thread has heard it, which waits for 3 s
        return PaymentCharged(order=event.key, receipt="slow")

    foreign, cards = Foreign(shop.app(), config, broker), Cards(slow)
    config = replace(config, gateway_calls=1, gateway_seconds=60.0)
    with Running(shop.app(cards), config, broker, ["payment"]) as first:
        foreign.publish(*(PaymentCharge(order=f"o{n}", amount=1) for n in range(3)))
        until(lambda: bool(cards.calls), "the gateway was not called")
    assert len(cards.calls) == 1
    answers = [m for m in foreign.read("payment") if type_of(m) == "payment.charged"]
    assert len(answers) == 1
    with Running(shop.app(cards), config, broker, ["payment"]) as second:
        until(lambda: len(second.rows("payment")) == 3, "not all were charged")
    assert len(cards.calls) == 3


@pytest.mark.parametrize("restarted", [False, True])
def test_requests_that_memory_has_no_room_for_are_made_once_the_gateway_is_back(
    config: Config, broker: str, restarted: bool
) -> None:
    """More than 4 MiB of each partition. By the worker that has taken them, and by the next one."""
    config = replace(config, gateway_tries=100)
    foreign, cards = Foreign(shop.app(), config, broker), Cards(refuse)
    charges = [PaymentCharge(order=f"o{number}", amount=number) for number in range(MANY)]
    with Running(shop.app(cards), config, broker) as worker:
        foreign.publish(*charges, padding="x" * 30_000)
        until(lambda: worker.counted("payment", "accepted") == MANY, "the requests were not accepted")
        until(lambda: worker.left("payment") > MANY // 2, "no bodies have left memory")
        if not restarted:
            cards.how = None
            until(lambda: len(worker.rows("payment")) == MANY, "not all requests were answered")
    if restarted:
        cards.how = None
        with Running(shop.app(cards), config, broker) as worker:
            until(lambda: len(worker.rows("payment")) == MANY, "not all requests were answered")
    due = foreign.read("payment-due")
    assert {it.value() for it in due} == {None, *map(foreign.codec.encode, charges)}
    assert set({it.key(): it.value() for it in due}.values()) == {None}


MANY = 400


def test_an_answer_that_nobody_waits_for_is_rejected(config: Config, broker: str) -> None:
    """A forged or late one changes no row."""
    foreign = Foreign(shop.app(), config, broker)
    with Running(shop.app(), config, broker, ["payment"]) as worker:
        late = PaymentCharged(order="o9", receipt="late")
        foreign.publish(late, ce_id=answer_id(reference_of("", "gone")), ce_causationid="gone")
        until(lambda: bool(foreign.read("payment-log")), "not handled")
        assert worker.rows("payment") == {}
    [logged] = foreign.read("payment-log")
    assert log_header(headers_of(logged)).reason == "already answered"


class Mended:
    """The probe's handler raises until it is mended, as a bug does."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, row: ProbeRow, key: str) -> Any:
        if self.broken:
            raise RuntimeError("a bug")
        return probe.counted(row)


def test_a_mended_table_equals_one_that_never_saw_the_bug(
    config: Config, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry handles the whole queue of a key in order, in one transaction, also with arrivals and a restart between."""
    mended = Mended()
    monkeypatch.setitem(probe.WRONG, "until mended", mended)  # one more way to go wrong, for this test alone
    foreign = Foreign(probe.app(), config, broker)
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.publish(ProbeDo(name="k", text="1"), ProbeDo(name="k", how="until mended"), ProbeDo(name="k", text="2"))
        until(lambda: len(foreign.read("probe-parked")) == 2, "not parked")
        [first, _] = (parked_header(headers_of(m)) for m in foreign.read("probe-parked"))
        say(foreign, "probe", OperatorCommand("retry", "k", first.offset, "ada"))
        until(lambda: len(foreign.read("probe-parked")) == 3, "it was not tried, and parked again")
    mended.broken = False
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.publish(ProbeDo(name="k", text="3"))
        say(foreign, "probe", OperatorCommand("retry", "k", first.offset, "ada"))
        until(
            lambda: worker.rows("probe") == {"k": ProbeRow(count=4, texts={"1": "k", "2": "k", "3": "k"})}, "not mended"
        )
    last = {m.key(): m.value() for m in foreign.read("probe-parked")}
    assert set(last.values()) == {None}
    order = [log_header(headers_of(m)).offset for m in foreign.read("probe-log")]
    assert order == sorted(order)


def test_an_operator_may_reject_a_parked_event_and_the_rest_goes_on(config: Config, broker: str) -> None:
    """It is in the log as rejected, with who and why."""
    foreign = Foreign(probe.app(), config, broker)
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.publish(ProbeDo(name="k", how="raise"), ProbeDo(name="k"))
        until(lambda: len(foreign.read("probe-parked")) == 2, "not parked")
        offset = parked_header(headers_of(foreign.read("probe-parked")[0])).offset
        say(foreign, "probe", OperatorCommand("reject", "k", offset, "ada", "it was a typo"))
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=1, texts={})}, "the rest did not go on")
    [rejected, _] = (log_header(headers_of(m)) for m in foreign.read("probe-log"))
    assert (rejected.outcome, rejected.reason) == ("rejected", "rejected by ada: it was a typo")


def test_a_gateway_that_blocks_its_loop_holds_up_no_events(tmp_path: Path, prefix: str, broker: str) -> None:
    """Its event loop is not the one that namespaces are polled from: events are handled, and rebalances met, meanwhile."""
    go_on = threading.Event()

    async def block(event: Event[PaymentCharge]) -> PaymentCharged:
        assert go_on.wait(50)  # what is tried is a gateway that blocks its event loop
        return PaymentCharged(order=event.data.order, receipt="r")

    config = settings(tmp_path, prefix, gateway_seconds="60")
    foreign, cards = Foreign(shop.app(), config, broker), Cards(block)
    with Running(shop.app(cards), config, broker) as worker:
        placed(foreign, worker)
        until(lambda: len(cards.calls) == 1, "the gateway was not called")
        foreign.publish(StockReceive(sku="D4", quantity=1, price=1))
        until(lambda: "D4" in worker.rows("stock"), "an event waited for the gateway")
        go_on.set()
        until(lambda: getattr(worker.rows("order").get("o1"), "status", "") == "paid", "the answer was not handled")
