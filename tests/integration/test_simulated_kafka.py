"""The simulator's Kafka is held against a real one: scripts are played on both, and what is seen is equal.

`make simulate ARGS="--against-kafka 300"` draws other scripts. One that shows a difference belongs to those that are kept.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulator.broker import MemoryBroker, Transaction
from tests.simulator.script import Begin, Commit, Init, Produce, Script, script_of
from tests.simulator.side_by_side import RealSide, in_memory
from tests.simulator.time import VirtualClock

KEPT = Path(__file__).parents[1] / "data/kafka_scripts.jsonl"

@pytest.fixture(scope="module")
def real(broker: str) -> RealSide:
    return RealSide(broker, "scripts-")


def test_what_is_seen_of_the_simulators_kafka_is_what_is_seen_of_kafka(real: RealSide) -> None:
    """Values, errors, offsets and ends: of every operation of every script that is kept, and of all that there is in the end."""
    scripts = [script_of(line) for line in KEPT.read_text().splitlines()]
    assert len(scripts) >= 200
    found = [str(it) for it in real.differences(scripts, [in_memory(it) for it in scripts])]
    assert not found, "\n\n".join(found)


def test_a_simulator_that_writes_no_control_record_is_found_out(broker: str) -> None:
    """Else the comparison above might see nothing at all."""

    class WithoutControlRecords(MemoryBroker):
        def end(self, transaction: Transaction, state: str) -> None:
            transaction.state = state

    committed: Script = [Init(0), Begin(0), Produce(0, 0, "k", "v"), Commit(0)]
    expected = in_memory(committed, WithoutControlRecords(VirtualClock()))
    [found] = RealSide(broker, "difference-", moment=1.0).differences([committed], [expected])
    assert (found.memory, found.kafka) == ([0, 1, 1], [0, 2, 2])
