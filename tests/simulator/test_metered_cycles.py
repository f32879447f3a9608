"""What a worker's metrics count of its cycles, on a Kafka in memory."""

from __future__ import annotations

from pathlib import Path

from streams.worker.worker_metrics import WorkerMetrics
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.workers import PARTITIONS, MemorySite, Worker, go_on
from tests.support.figures_of import figures_of


def metered(there: MemorySite) -> tuple[Worker, WorkerMetrics]:
    metrics = WorkerMetrics()
    return Worker(there, 0, metrics=metrics), metrics


def figure(metrics: WorkerMetrics, name: str) -> float:
    [value] = figures_of(metrics.text().decode(), f"retold_worker_{name}").values()
    return value


def publish(there: MemorySite, count: int) -> None:
    for number in range(count):
        there.publish(EchoHear(name=f"k{number}"))


def test_events_in_transactions_and_restores_are_counted(tmp_path: Path) -> None:
    """Each event once, in the transaction that was committed, and each partition that was restored."""
    there = MemorySite(probe.app(), "echo", tmp_path)
    worker, metrics = metered(there)
    publish(there, 30)
    go_on(there, worker)
    assert figure(metrics, "transaction_events_sum") == 30
    assert figure(metrics, "commit_seconds_count") == figure(metrics, "transaction_events_count") >= 1
    assert figure(metrics, "restore_seconds_count") == PARTITIONS
    assert figure(metrics, "transactions_aborted_total") == 0


def test_a_transaction_that_is_aborted_is_counted_as_such(tmp_path: Path) -> None:
    """A worker that was taken for dead has done nothing, and counts no event."""
    there = MemorySite(probe.app(), "echo", tmp_path)
    worker, metrics = metered(there)
    other = Worker(there, 1)
    publish(there, 12)
    go_on(there, worker, other)
    before = figure(metrics, "transaction_events_sum")
    publish(there, 12)
    while not worker.has_records():
        worker.step()
    there.expire(0)
    go_on(there, other)
    worker.step()
    assert figure(metrics, "transactions_aborted_total") == 1
    assert figure(metrics, "transaction_events_sum") == before
