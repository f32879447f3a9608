"""A restore makes a consumer only where there is something to read: each one connects to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import murmur2

from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryConsumer
from tests.simulator.workers import PARTITIONS, MemorySite, Worker, go_on

READER = "retold-reader"
AT = int(murmur2(b"k", PARTITIONS))


@pytest.fixture
def groups() -> list[str]:
    """Of the consumers that were made."""
    return []


@pytest.fixture
def site(groups: list[str], tmp_path: Path) -> MemorySite:
    def made(broker: MemoryBroker, options: Mapping[str, Any]) -> MemoryConsumer:
        groups.append(options["group.id"])
        return MemoryConsumer(broker, options)

    it = MemorySite(probe.app(), "echo", tmp_path)
    it.consumer = made
    return it


def test_a_partition_that_holds_nothing_is_restored_without_a_reader(site: MemorySite, groups: list[str]) -> None:
    """As all are of an application that is started for the first time; its group is still asked."""
    image = Worker(site, 0).restore(AT)
    assert (image.sequence, list(image.rows)) == (0, [])
    assert groups
    assert READER not in groups


def test_a_partition_that_holds_something_is_read(site: MemorySite, groups: list[str]) -> None:
    """By one reader, for all of its topics; another one looks at what was handled last, in the inbox."""
    worker = Worker(site, 0)
    site.publish(EchoHear(name="k"))
    go_on(site, worker)
    groups.clear()
    assert worker.restore(AT).sequence == 1
    assert groups.count(READER) == 2
