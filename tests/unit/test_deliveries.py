"""Who is told what became of an event, and who asks for it."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from streams import undelivered
from streams.deliveries import Deliveries
from streams.errors import BrokerError, ClientClosed, OutcomeTimeout
from streams.prepared_event import prepare
from streams.receipt import Receipt
from tests.applications.probe.events import EchoHear


class AwayProducer:
    """It waits for its broker, until it gives up all that it was given."""

    def __init__(self) -> None:
        self._reports: list[Any] = []

    def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
        self._reports.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        return 0

    def give_up(self, code: int = KafkaError._MSG_TIMED_OUT) -> None:
        for report in self._reports:
            report(KafkaError(code), None)
        self._reports.clear()


def waited_for_in_vain(deliveries: Deliveries) -> Receipt:
    """An event that was sent and is not confirmed in time."""
    data = EchoHear(name="theirs")
    receipt = Receipt("echo", data.event_type, data.key, "e1")
    deliveries.send("echo", [], prepare(data, b"", "e1", "here", None), receipt)
    with pytest.raises(OutcomeTimeout, match=r"of 'theirs' .* may still arrive"):
        deliveries.confirm(receipt, 0.0)
    return receipt


def test_nobody_hears_what_became_of_the_events_of_others() -> None:
    """A server publishes for all: the next one would else be refused, and told the type, the key and the id of another's event."""
    producer: Any = AwayProducer()
    deliveries = Deliveries(producer, confirm_each=True)
    receipt = waited_for_in_vain(deliveries)
    producer.give_up()
    deliveries.raise_failures()
    with pytest.raises(BrokerError, match=r"of 'theirs' \(id e1\) was not delivered"):
        deliveries.confirm(receipt, 0.0)


def test_a_program_of_its_own_hears_of_it_at_its_next_event() -> None:
    """Also of one that it has waited for: when it heard of that, it was not known yet."""
    producer: Any = AwayProducer()
    deliveries = Deliveries(producer)
    waited_for_in_vain(deliveries)
    producer.give_up()
    with pytest.raises(BrokerError, match=r"1 event was not delivered; the first is echo\.hear of 'theirs', id e1"):
        deliveries.raise_failures()
    deliveries.raise_failures()


class FromAThread:
    """A thread that has published an event in vain, and is asked for what it hears at its next one."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries, self._thread = deliveries, ThreadPoolExecutor(1)
        self._thread.submit(waited_for_in_vain, deliveries).result()

    def hears(self) -> str:
        try:
            self._thread.submit(self._deliveries.raise_failures).result()
        except BrokerError as error:
            return str(error)
        return ""

    def ends(self) -> None:
        self._thread.shutdown()


class FlushedProducer(AwayProducer):
    """It has given up by now."""

    def flush(self, _timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return 0


def test_each_thread_hears_of_its_own_events() -> None:
    """One of them heard of those of the others, which took theirs for delivered. Who waits for all hears of all, once."""
    producer: Any = FlushedProducer()
    deliveries = Deliveries(producer)
    first, second = FromAThread(deliveries), FromAThread(deliveries)
    producer.give_up()
    deliveries.raise_failures()
    assert first.hears().startswith("1 event was not delivered")
    with pytest.raises(BrokerError, match="1 event was not delivered"):  # that of which nobody has heard
        deliveries.flush(1.0)
    deliveries.flush(1.0)
    assert second.hears().startswith("1 event was not delivered")
    assert (first.hears(), second.hears(), len(deliveries._undelivered)) == ("", "", 0)


def test_what_a_thread_that_has_ended_published_is_told_to_who_waits_for_all() -> None:
    """It is kept for nobody after that."""
    producer: Any = FlushedProducer()
    deliveries = Deliveries(producer)
    ended = FromAThread(deliveries)
    ended.ends()
    producer.give_up()
    with pytest.raises(BrokerError, match="1 event was not delivered"):
        deliveries.leave(None)
    assert not deliveries._undelivered._by


def test_what_threads_that_have_ended_published_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with a thread for each request would else keep all of it, until somebody waits for all: who does hears how many."""
    monkeypatch.setattr(undelivered, "KEPT", 2)
    producer: Any = FlushedProducer()
    deliveries = Deliveries(producer)
    for _ in range(5):
        FromAThread(deliveries).ends()
        producer.give_up()
    found = deliveries._undelivered
    assert (len(found), len(found._by), len(found._ended)) == (5, 0, 2)
    deliveries.raise_failures()
    with pytest.raises(BrokerError, match=r"5 events were not delivered; the first is echo\.hear"):
        deliveries.flush(1.0)
    assert len(found) == 0


def test_who_waits_for_an_outcome_hears_that_its_event_is_published() -> None:
    """Also if it waited for its turn while another thread closed the client; a client that is entered again goes on."""
    producer: Any = AwayProducer()
    deliveries = Deliveries(producer)
    receipt = waited_for_in_vain(deliveries)
    deliveries.close()
    for delivered in (False, True):
        receipt.offset = 7 if delivered else None
        with pytest.raises(ClientClosed, match=r"this client is closed: wait within its block") as told:
            deliveries.refuse_to_wait(receipt)
        assert str(told.value).endswith("the event is published") == delivered
    deliveries.open()
    deliveries.refuse_to_wait(receipt)
    deliveries.refuse_closed()


def test_a_refusal_without_a_cause_says_where_to_look_and_what_to_do() -> None:
    """So a Kafka refuses events whose disk is full, and it may have them all the same."""
    producer: Any = AwayProducer()
    deliveries = Deliveries(producer)
    receipt = waited_for_in_vain(deliveries)
    producer.give_up(KafkaError.UNKNOWN)
    with pytest.raises(BrokerError) as told:
        deliveries.confirm(receipt, 0.0)
    assert str(told.value) == (
        "echo.hear of 'theirs' (id e1) was not delivered: Unknown broker error (it names no cause: look at Kafka's log, and "
        "whether its disk is full). If it is sent again, then under the same id, so that it is handled once"
    )


class BusyProducer(AwayProducer):
    """Each poll confirms one event, whoever published it; `most` is how many threads polled at once."""

    def __init__(self) -> None:
        super().__init__()
        self._inside, self.most, self._count = 0, 0, threading.Lock()

    def poll(self, _timeout: float) -> int:
        with self._count:
            self._inside += 1
            self.most = max(self.most, self._inside)
        threading.Event().wait(0.001)  # others come meanwhile, as they do while librdkafka waits
        with self._count:
            self._inside -= 1
            report = self._reports.pop(0) if self._reports else None
        if report is not None:
            report(None, SimpleNamespace(partition=lambda: 0, offset=lambda: 7, timestamp=lambda: (1, 5)))
        return 1


def test_one_thread_asks_for_all_that_wait() -> None:
    """Each poll of librdkafka's wakes all threads that poll; and whoever has its own confirmed leaves the turn to another."""
    producer: Any = BusyProducer()
    deliveries = Deliveries(producer, confirm_each=True)
    data = EchoHear(name="theirs")

    def publish(number: int) -> bool:
        receipt = Receipt("echo", data.event_type, data.key, f"e{number}")
        deliveries.send("echo", [], prepare(data, b"", receipt.id, "here", None), receipt)
        deliveries.confirm(receipt, 30.0)
        return receipt.delivered

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(publish, range(80)))
    assert producer.most == 1


def test_several_requests_may_wait_for_one_event() -> None:
    """Those with one Idempotency-Key do."""
    producer: Any = BusyProducer()
    deliveries = Deliveries(producer, confirm_each=True)
    data = EchoHear(name="theirs")
    for number in range(20):
        receipt = Receipt("echo", data.event_type, data.key, f"e{number}")
        deliveries.send("echo", [], prepare(data, b"", receipt.id, "here", None), receipt)
        with ThreadPoolExecutor(8) as threads:
            for waited in [threads.submit(deliveries.confirm, receipt, 30.0) for _ in range(8)]:
                waited.result()


def test_a_turn_that_nobody_uses_is_taken_over() -> None:
    """As after a Ctrl-C that came between taking it and using it: all others would wait in vain, for ever."""
    producer: Any = BusyProducer()
    deliveries = Deliveries(producer, confirm_each=True)
    data = EchoHear(name="theirs")
    receipt = Receipt("echo", data.event_type, data.key, "e1")
    deliveries.send("echo", [], prepare(data, b"", receipt.id, "here", None), receipt)
    deliveries._confirmations._turn.acquire()
    deliveries.confirm(receipt, 30.0)
    assert receipt.delivered


def test_one_thread_asks_for_all_who_wait_elsewhere() -> None:
    """Each is called once, whether its event was confirmed before it asked or after; beside them threads may wait."""
    producer: Any = BusyProducer()
    deliveries, stop = Deliveries(producer, confirm_each=True), threading.Event()
    serving = threading.Thread(target=deliveries.serve, args=(stop,))
    serving.start()
    data, called = EchoHear(name="theirs"), Counter[str]()
    try:
        sent = [Receipt("echo", data.event_type, data.key, f"e{number}") for number in range(80)]
        for receipt in sent:
            assert deliveries.send_at_once("echo", [], prepare(data, b"", receipt.id, "here", None), receipt)
            for _ in range(2):
                deliveries.when_told(receipt, partial(called.update, [receipt.id]))
        with ThreadPoolExecutor(4) as threads:
            for waited in [threads.submit(deliveries.confirm, receipt, 30.0) for receipt in sent[::10]]:
                waited.result()
        for receipt in sent:
            deliveries.confirm(receipt, 30.0)
    finally:
        stop.set()
        serving.join()
    assert called == dict.fromkeys((it.id for it in sent), 2)
    deliveries.when_told(sent[0], partial(called.update, ["late"]))
    assert (called["late"], producer.most) == (1, 1)


class FullProducer(AwayProducer):
    """Its queue is full."""

    def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
        raise BufferError("Local: Queue full")


def test_what_must_not_block_hears_that_the_queue_is_full() -> None:
    """And nothing was handed over."""
    producer: Any = FullProducer()
    data = EchoHear(name="theirs")
    receipt = Receipt("echo", data.event_type, data.key, "e1")
    assert not Deliveries(producer, confirm_each=True).send_at_once("echo", [], prepare(data, b"", "e1", "here", None), receipt)
