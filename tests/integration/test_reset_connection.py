"""One reset connection, as a load balancer or a router makes them: the worker goes on (rule 35)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign
from tests.support.kafka_proxy import FETCH, HEARTBEAT, PRODUCE, KafkaProxy, ResetConnection
from tests.support.workers import Running, settings, until


@pytest.mark.parametrize(
    ("api", "when"),
    [(PRODUCE, "idle"), (PRODUCE, "in the middle of a transaction"), (FETCH, "idle"), (HEARTBEAT, "idle")],
    ids=["producer", "producer in the middle of a transaction", "consumer", "member of a group"],
)
def test_a_reset_connection_holds_up_nothing(tmp_path: Path, prefix: str, broker: str, api: int, when: str) -> None:
    """Librdkafka 2.16 asked a broker that it had given up for the group's coordinator, for ever and beyond its time-out."""
    config = settings(tmp_path, prefix, partitions="1")
    foreign, faults = Foreign(probe.app(), config, broker), ResetConnection("retold.probe.echo", api)
    with KafkaProxy(broker, faults) as proxy, Running(probe.app(), config, proxy.address, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
        proxy.call(faults.cut if when == "idle" else faults.cut_in_the_middle)
        if when == "idle":
            until(faults.reset.is_set, "the connection was not reset")
        foreign.publish_together({f"{n}": EchoHear(name="k") for n in range(60)})
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=61)}, "it does not go on", seconds=60)
        assert faults.reset.is_set()
    assert worker.errors == []
    assert len(foreign.read("echo-log")) == 61
