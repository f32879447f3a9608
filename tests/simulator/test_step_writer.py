"""Waiting for the steps of a correction, in a Kafka in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, murmur2
from confluent_kafka.admin import AdminClient

from streams.engine import marker
from streams.engine.execution import BELIEVED_AHEAD
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.engine.step import CorrectionStep, step_of
from streams.errors import BrokerError, HistoryError, OutcomeTimeout
from streams.kafka.clients import Clients
from streams.kafka.step_writer import STILL, StepWriter
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryAdmin, MemoryConsumer, clients
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.time import VirtualClock

STEP = CorrectionStep(command="step", namespace="account", entity="a", correction="c1", number=1, expected=1, row=b"")
OURS = int(murmur2(b"a", 2))
MOST = 500
"""Polls, each of a second, after which a test is over: nobody waits for ever."""


def a_marker(inbox_next: int) -> bytes:
    return marker.encode(
        Marker(
            first=1, last=0, inbox_next=inbox_next, recorded=0, application="bank", topic_ids={}, partitions=2,
            transactional_id="w", counters=Counters(),
        )
    )  # fmt: skip


class BusyConsumer(MemoryConsumer):
    """Before each poll, which takes a second, the application goes on."""

    done_at = MOST
    polled = 0

    def poll(self, timeout: float) -> MemoryMessage | None:
        self.polled += 1
        assert self.polled < MOST, "it waits for ever"
        if self.polled == self.done_at:
            self._broker.append(("account-table", OURS), marker.KEY, a_marker(1), [], None)
        elif self.polled % 2:  # one record for each poll: else those of the first partition hide the others
            self._broker.append(("account-table", 1 - OURS), marker.KEY, a_marker(self.polled), [], None)
        else:
            self._broker.append(("account-table", OURS), b"b", b"row", [("ce_sequence", b"1")], None)
        self._broker.clock.sleep(1.0)
        return super().poll(timeout)


def made(kafka: MemoryBroker, consumer: Any, admin: Any = MemoryAdmin) -> Clients:
    kinds: Mapping[Any, Any] = {Consumer: consumer, Producer: MemoryProducer, AdminClient: admin}
    return replace(clients(kafka), make=lambda kind, options: kinds[kind](kafka, options))


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["account", "account-table"], 2)
    return it


def test_what_others_do_does_not_make_a_step_that_nobody_handles_wait_for_ever(kafka: MemoryBroker) -> None:
    """A busy application goes on in every partition but this one, whose worker is blocked."""
    began = kafka.clock.monotonic()
    with pytest.raises(OutcomeTimeout, match=f"nothing was handled for {STILL:.0f} s"):
        StepWriter(made(kafka, BusyConsumer), "", {"account": 1}).send([STEP])
    assert kafka.clock.monotonic() - began < STILL + 10


def test_a_time_that_the_coordinators_clock_does_not_believe_is_not_said(kafka: MemoryBroker) -> None:
    """One event of the year 2099 in a log would take all partitions there whose rows are corrected."""
    now = kafka.clock.now()
    ahead = [now + BELIEVED_AHEAD - 1, now + BELIEVED_AHEAD + 1]
    steps = [msgspec.structs.replace(STEP, after=it) for it in ahead]
    with pytest.raises(OutcomeTimeout):
        StepWriter(made(kafka, BusyConsumer), "", {"account": 1}).send(steps)
    sent = [step_of(it.value) for _, it in kafka.partition(("account", OURS)).committed()]
    assert [it and it.after for it in sent] == [ahead[0], 0]


def test_whoever_waits_is_asked_meanwhile(kafka: MemoryBroker) -> None:
    """So that a coordinator can say that it is at work; the step that is handled ends it."""

    class Done(BusyConsumer):
        done_at = 10

    asked = []
    StepWriter(made(kafka, Done), "", {"account": 1}).send([STEP], lambda: asked.append(1))
    assert len(asked) >= 10


def test_workers_of_another_generation_are_not_waited_for(kafka: MemoryBroker) -> None:
    """They take no step of this one: whoever waits is told so as they say which rows they keep."""

    class Done(BusyConsumer):
        done_at = 10

    with pytest.raises(HistoryError, match=r"workers keep rows of generation 1 of account, and .* here makes .* generation 2"):
        StepWriter(made(kafka, Done), "", {"account": 2}).send([STEP])


def test_a_writer_that_cannot_be_made_leaves_nothing_open(kafka: MemoryBroker) -> None:
    """Where its ends cannot be told, no consumer was made."""
    consumers = []

    class Counted(MemoryConsumer):
        def __init__(self, *words: Any) -> None:
            consumers.append(self)
            super().__init__(*words)

    class Failing(MemoryAdmin):
        def list_offsets(self, *_: Any, **__: Any) -> Any:
            raise BrokerError("no ends")

    with pytest.raises(BrokerError, match="no ends"):
        StepWriter(made(kafka, Counted, Failing), "", {"account": 1})
    assert consumers == []
