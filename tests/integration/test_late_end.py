"""An EndTxn that arrives late must not end the next transaction (rule 31): the worker behind a proxy that delays one.

librdkafka repeats EndTxn by itself on a new connection, with the epoch that all transactions of a producer have.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from streams.config import Config
from streams.engine.batch import SMALLEST_PIECE
from streams.engine.envelope import log_header
from streams.kafka.bounded_read import headers_of
from tests.applications import slow
from tests.applications.probe.events import ProbeDo
from tests.support.inbox import Foreign
from tests.support.kafka_proxy import KafkaProxy, LateEndOfTransaction
from tests.support.workers import Running, settings, until

PIECE = [ProbeDo(name="k")] * SMALLEST_PIECE
"""A worker hands this to its producer before it handles what follows, which takes longer than to be answered."""
RESTS = {"the same partition": PIECE, "another partition": [ProbeDo(name="bad", how="raise")]}
"""What follows in that transaction: records for the log again, or for the parked topic."""


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, partitions="1", transaction_seconds="2")


class Story:
    """Events published, in order, and whether they were handled."""

    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign
        self.logged, self.parked = list[str](), list[str]()

    def publish(self, events: list[ProbeDo]) -> None:
        new = {f"{len(self.logged) + len(self.parked) + n}": event for n, event in enumerate(events)}
        self.logged += [name for name, event in new.items() if event.how != "raise"]
        self.parked += [name for name, event in new.items() if event.how == "raise"]
        self.foreign.publish_together(new)

    def handled_by(self, worker: Running) -> bool:
        row = worker.rows("probe").get("k")
        return row is not None and row.count == len(self.logged)  # type: ignore[attr-defined]  # a ProbeRow


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_late_end_of_a_transaction_changes_nothing(config: Config, broker: str, end: str, rest: str) -> None:
    """Each event is in the log once, in order, and a worker that starts afterwards finds all of it."""
    app = slow.app()
    story = Story(Foreign(app, config, broker))
    faults = LateEndOfTransaction("retold.slow.probe", f"{config.prefix}probe-log", commit=end == "commit")
    with KafkaProxy(broker, faults) as proxy, Running(app, config, proxy.address) as worker:
        story.publish(PIECE[:1])
        until(lambda: story.handled_by(worker), "the first event was not handled")
        faults.arm()
        if end == "commit":
            story.publish(PIECE[:1])
            until(lambda: faults.held is not None, "no EndTxn was held")
        story.publish(PIECE + RESTS[rest])  # an aborted transaction is made again, with the same events
        until(lambda: faults.answer is not None, "no EndTxn was delivered late")
        story.publish(PIECE[:1])
        until(lambda: story.handled_by(worker), "not every event was handled")
    assert worker.errors == []
    assert faults.repeated
    logged = story.foreign.read("probe-log")
    assert [dict(headers_of(m))["ce_id"].decode() for m in logged] == story.logged
    assert [log_header(headers_of(m)).sequence for m in logged] == list(range(1, len(logged) + 1))
    parked = Counter(dict(headers_of(m))["ce_id"].decode() for m in story.foreign.read("probe-parked"))
    assert parked == Counter(story.parked)
    [marker] = story.foreign.markers("probe").values()
    assert marker.producers_replaced == 1
    with Running(app, config, broker) as worker:
        story.publish(PIECE[:1])
        until(lambda: story.handled_by(worker), "a worker that starts afterwards does not go on")
