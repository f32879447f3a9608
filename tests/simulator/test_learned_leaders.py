"""A client is told who leads a topic before it is asked for its offsets: else librdkafka may use freed memory."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.kafka.offsets import ends
from streams.kafka.renewed_client import LED, Admin
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryAdmin
from tests.simulator.time import VirtualClock


class CountedAdmin(MemoryAdmin):
    """It counts how often it asks for metadata, and forgets them when it is told to."""

    asked = 0

    def list_topics(self, topic: str = "", *, timeout: float) -> Any:
        self.asked += 1
        return super().list_topics(topic, timeout=timeout)

    def forget(self) -> None:
        self._led = frozenset()


@pytest.fixture
def broker() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["user"], 2)
    return it


def test_leaders_are_learned_once_until_the_client_may_have_forgotten_them(broker: MemoryBroker) -> None:
    """Also of a topic that came later. Asking each time would double the requests of a restore."""
    client = CountedAdmin(broker, {})
    admin = Admin(lambda: client, clock=broker.clock)  # type: ignore[arg-type, return-value]  # what an AdminClient is asked here
    for _ in range(3):
        assert ends(admin, [("user", 0)]) == {("user", 0): 0}
    assert client.asked == 1
    broker.create(["folder"], 1)
    assert ends(admin, [("user", 1), ("folder", 0)]) == {("user", 1): 0, ("folder", 0): 0}
    assert client.asked == 2
    broker.clock.sleep(LED)
    client.forget()
    assert ends(admin, [("user", 0)]) == {("user", 0): 0}
    assert client.asked == 3


def test_a_client_that_knows_no_leader_is_not_asked_for_offsets(broker: MemoryBroker) -> None:
    """The simulated client is as particular as librdkafka is, so that no test passes where a process might end."""
    asked = {TopicPartition("user", 0): OffsetSpec.latest()}  # type: ignore[no-untyped-call]  # the client's own lack
    with pytest.raises(AssertionError, match="may end the process"):
        MemoryAdmin(broker, {}).list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
