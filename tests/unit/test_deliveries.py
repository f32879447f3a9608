"""Who is told that an event was not delivered, of a producer whose broker is away."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from streams.deliveries import Deliveries
from streams.errors import BrokerError, OutcomeTimeout
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

    def give_up(self) -> None:
        for report in self._reports:
            report(KafkaError(KafkaError._MSG_TIMED_OUT), None)
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
