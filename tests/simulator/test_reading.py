"""Reading to an end, in virtual time."""

from __future__ import annotations

import pytest

from streams.errors import BrokerError
from streams.kafka.bounded_read import polls, read_to
from tests.simulator.broker import OPEN, MemoryBroker, Transaction
from tests.simulator.clients import clients
from tests.simulator.time import VirtualClock


def broker(*values: bytes) -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["t"], 1)
    for value in values:
        it.append(("t", 0), b"k", value, None, None)
    return it


def test_a_slow_reader_reports_no_slow_broker() -> None:
    """A reader may look at a page for as long as they like."""
    there = broker(*[b"a"] * 6_000)  # more than one poll gives
    found = []
    for message in read_to(clients(there).consumer(), {("t", 0): (0, 6_000)}, clock=there.clock, timeout=25):
        found.append(message.value())
        there.clock.sleep(100)
    assert len(found) == 6_000


def test_an_end_behind_an_open_transaction_is_waited_for_as_long_as_it_may_be() -> None:
    """And then the sentence says what it may be."""
    there = broker(b"a")
    there.append(("t", 0), b"k", b"b", None, Transaction(None, 0.0, OPEN))
    reading = polls(clients(there).consumer(), {("t", 0): (0, 2)}, clock=there.clock, timeout=25)
    with pytest.raises(BrokerError, match="t-0 to 2: not readable for 25 s"):
        list(reading)
    assert there.clock.monotonic() < 30
