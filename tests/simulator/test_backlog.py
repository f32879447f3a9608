"""What is set aside and what is pending, as a reader finds it that asks again and again, in virtual time."""

from __future__ import annotations

import pytest

from streams.engine.envelope import ParkedHeader, pack
from streams.engine.records import PARKED, QUARANTINED
from streams.kafka.backlog import BacklogReader, SetAside
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import clients
from tests.simulator.time import VirtualClock

TOPIC = "item-parked"


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create([TOPIC], 1)
    return it


def set_aside(kafka: MemoryBroker, offset: int, status: str, recorded: int) -> None:
    """`recorded` in µs since 1970. What is quarantined has no key that it blocks."""
    key = None if status == QUARANTINED else f"k{offset}"
    header = ParkedHeader(status, "why", "", key, "item", 0, offset, recorded)
    kafka.append((TOPIC, 0), b"%d" % offset, b"value", [pack(header)], None)


def found(kafka: MemoryBroker) -> SetAside:
    at = clients(kafka)
    aside, _ = BacklogReader(at).read(at.admin(), [(TOPIC, 0)], [])
    return aside[TOPIC]


def test_a_quarantined_record_counts_and_has_no_age(kafka: MemoryBroker) -> None:
    """No command takes it out: one malformed record would turn health red an hour later, and for ever."""
    set_aside(kafka, 1, QUARANTINED, 1_000)
    assert found(kafka) == SetAside(quarantined=1)
    set_aside(kafka, 2, PARKED, 2_000)
    assert found(kafka) == SetAside(parked=1, quarantined=1, keys=1, oldest=2_000)
