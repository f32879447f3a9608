"""A request that the client itself dropped is asked once more: nobody has refused it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerUnavailable
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.kafka.topics import describe
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryAdmin
from tests.simulator.time import VirtualClock


class DroppingAdmin(MemoryAdmin):
    """It makes new handles of its brokers, as librdkafka does when a cluster seems to have none for a moment."""

    def __init__(self, broker: MemoryBroker, options: Mapping[str, Any], times: int) -> None:
        super().__init__(broker, options)
        self.times = times

    def describe_topics(self, asked: Any, **options: Any) -> dict[str, Future[Any]]:
        return self._dropped(asked.topic_names) or super().describe_topics(asked, **options)

    def list_offsets(self, asked: Any, **options: Any) -> dict[Any, Future[Any]]:
        return self._dropped(asked) or super().list_offsets(asked, **options)

    def _dropped(self, asked: Any) -> dict[Any, Future[Any]] | None:
        if not self.times:
            return None
        self.times -= 1
        found: dict[Any, Future[Any]] = {it: Future() for it in asked}
        for future in found.values():
            future.set_exception(KafkaException(KafkaError(KafkaError._DESTROY_BROKER)))
        return found


def clients(times: int) -> Clients:
    broker = MemoryBroker(VirtualClock())
    broker.create(["user"], 2)

    def make(kind: Any, options: Any) -> Any:
        assert kind is AdminClient
        return DroppingAdmin(broker, options, times)

    return Clients("memory:0", clock=broker.clock, make=make)


def test_topics_are_described_all_the_same() -> None:
    """A status or a worker that starts would end with "the broker refused"."""
    assert describe(clients(1).admin(), ["user"])["user"].partitions == 2


def test_offsets_are_found_all_the_same() -> None:
    """As a restore needs them."""
    assert ends(clients(1).admin(), [("user", 0)]) == {("user", 0): 0}


def test_a_client_that_drops_each_request_got_no_answer() -> None:
    """It is said that the broker did not answer, not that it refused."""
    with pytest.raises(BrokerUnavailable, match="did not answer"):
        describe(clients(9).admin(), ["user"])
