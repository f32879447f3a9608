"""Workers that keep copies of each other's partitions, on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import Config
from streams.kafka.status import PartitionStatus, status
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign, of_probe
from tests.support.workers import Running, settings, until

KEYS = [f"k{n}" for n in range(400)]


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, standbys="1")


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return of_probe(config, broker)


def look(foreign: Foreign) -> tuple[PartitionStatus, ...]:
    [space] = status(foreign.clients, foreign.config.prefix, ["echo"], foreign.codec).namespaces
    return space.partitions


def copied(foreign: Foreign) -> bool:
    """Whether each partition has one copy, which is up to date and not its owner's."""
    parts = look(foreign)
    return all(len(it.copies) == 1 and it.copies[0].ready and it.copies[0].worker != it.owner for it in parts)


def test_who_takes_over_reads_only_the_rest(config: Config, broker: str, foreign: Foreign) -> None:
    """The status shows the copies; after the take-over all is handled once more, by who had one."""
    with Running(probe.app(), config, broker, ["echo"]) as one:
        with Running(probe.app(), config, broker, ["echo"]) as two:
            until(lambda: len(one.held("echo")) == len(two.held("echo")) == 1, "the partitions are not shared")
            foreign.publish(*(EchoHear(name=key) for key in KEYS))
            until(lambda: len(one.rows("echo")) + len(two.rows("echo")) == len(KEYS), "not all handled")
            until(lambda: copied(foreign), "the copies are not up to date")
            [moved] = two.held("echo")
        until(lambda: len(one.rows("echo")) == len(KEYS), "the rows of the one that left were not taken over")
        assert one.read("echo")[moved] < 20, "more than the ends of a few transactions was read"
        foreign.publish(*(EchoHear(name=key) for key in KEYS))
        until(lambda: one.rows("echo") == dict.fromkeys(KEYS, EchoRow(heard=2)), "not handled once each")
    assert len(foreign.read("echo-log")) == 2 * len(KEYS)


def test_a_new_worker_joins_once_its_copies_are_up_to_date(config: Config, broker: str, foreign: Foreign) -> None:
    """So what moves to it was read before, by its copies."""
    with Running(probe.app(), config, broker, ["echo"]) as one:
        foreign.publish(*(EchoHear(name=key) for key in KEYS))
        until(lambda: len(one.rows("echo")) == len(KEYS), "not all handled")
        with Running(probe.app(), config, broker, ["echo"]) as two:
            until(lambda: len(one.held("echo")) == len(two.held("echo")) == 1, "the partitions are not shared")
            [moved] = two.held("echo")
            assert two.read("echo")[moved] < 20, "it restored what it should have copied before"
            assert len(one.rows("echo")) + len(two.rows("echo")) == len(KEYS)
