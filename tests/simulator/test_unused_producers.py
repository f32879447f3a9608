"""A producer that nobody uses any more is gone at once: a server collects circles hours later, and each has threads of its own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streams.errors import BrokerError, TopicMismatch
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.correction_claim import CorrectionClaim
from streams.kafka.corrections_topic import APPLIED, time_record
from streams.kafka.corrections_writer import CorrectionsWriter
from streams.kafka.step_writer import StepWriter
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import clients
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.test_correction_claims import a_state
from tests.simulator.time import VirtualClock

Made = list[weakref.ref[MemoryProducer]]


class RefusedProducer(MemoryProducer):
    """Its broker takes nothing."""

    def produce(self, *_: Any, **__: Any) -> None:
        self._report(KafkaError.TOPIC_AUTHORIZATION_FAILED)


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["account", "account-table"], 2)
    it.create(["retold-corrections"], 1)
    return it


def counted(kafka: MemoryBroker, made: Made, plain: type[MemoryProducer] = MemoryProducer) -> Clients:
    """Clients whose producers are `made`."""
    whole = clients(kafka)

    def make(kind: Any, options: Any) -> Any:
        if kind is not Producer:
            return whole.make(kind, options)
        producer = plain(kafka, options)
        made.append(weakref.ref(producer))
        return producer

    return replace(whole, make=make)


def say_the_time(them: Clients) -> None:
    CorrectionsWriter(them, "").write([time_record("here")])


def pass_all(them: Clients) -> None:
    StepWriter(them, "", {"account": 1}).close()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("use", [say_the_time, pass_all])
def test_a_producer_of_which_everything_was_confirmed_is_gone(use: Callable[[Clients], None], kafka: MemoryBroker) -> None:
    """A server that applies a correction makes some for each."""
    made: Made = []
    use(counted(kafka, made))
    assert [it() for it in made] == [None]


@pytest.mark.usefixtures("uncollected")
def test_a_producer_that_was_refused_is_gone(kafka: MemoryBroker) -> None:
    """Each failure is said once, and what was kept of it keeps no producer."""
    made: Made = []
    writer = ConfirmedProducer(counted(kafka, made, RefusedProducer), "retold-corrections")
    writer.put("retold-corrections", b"", b"k")
    refusal = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)).args[0].str()
    with pytest.raises(BrokerError, match=f"it was not written: {refusal}. Look at it"):
        writer.flush("it was not written", "Look at it")
    writer.flush("nothing was written", "Look at it")
    del writer
    assert [it() for it in made] == [None]


@pytest.mark.usefixtures("uncollected")
def test_a_coordinator_says_all_with_one_producer(kafka: MemoryBroker) -> None:
    """To make one takes longer than what it writes. It is gone with its coordinator."""
    made: Made = []
    claim = CorrectionClaim(counted(kafka, made), "", "m1-1")
    claim.known("shop")
    claim.take(a_state("c1"), None, [])
    for _ in range(3):
        claim.look()
    claim.end(APPLIED, 2)
    assert len(made) == 1
    del claim
    assert [it() for it in made] == [None]


def test_a_producer_that_has_failed_writes_nothing_more(kafka: MemoryBroker) -> None:
    """What it still has of what failed would come behind what is said afterwards."""
    made: Made = []
    refused = [True]

    class RefusedOnce(MemoryProducer):
        def produce(self, *given: Any, **named: Any) -> None:
            if refused:
                refused.pop()
                self._report(KafkaError.TOPIC_AUTHORIZATION_FAILED)
            else:
                super().produce(*given, **named)

    writer = CorrectionsWriter(counted(kafka, made, RefusedOnce), "")
    with pytest.raises(BrokerError, match="could not be written to retold-corrections"):
        writer.write([time_record("here")])
    assert [writer.write([time_record("here")]) for _ in range(2)] == [0, 1]
    assert len(made) == 2


def test_a_topic_that_is_missing_is_not_made(kafka: MemoryBroker) -> None:
    """A broker that makes topics would make one that forgets."""
    del kafka.topics["retold-corrections"]
    with pytest.raises(TopicMismatch, match="the topic retold-corrections is missing"):
        CorrectionsWriter(clients(kafka), "").write([time_record("here")])
