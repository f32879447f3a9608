"""The metrics of a worker, for Prometheus: what its namespaces do, and how long it takes them.

A server's metrics tell of the application, from Kafka; these tell of one process. So their names are others, and no figure is
counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.engine.records import Counters
from streams.worker.meter import Meter
from streams.worker.runner import NamespaceRunner
from streams.worker.task import OPEN, IllegalTransition, PartitionTask

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
CALL_SECONDS = (*SECONDS, 30.0, 60.0)
RESTORE_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
EVENTS = (1, 10, 100, 1_000, 10_000)
PARTITION = ("namespace", "partition")
COUNTED = tuple(each.name for each in fields(Counters))
KnownEnds = Callable[[], Mapping[int, int]]
"""The ends of a namespace's inbox as they were seen last, by partition."""


@dataclass(frozen=True)
class MeteredNamespace:
    """A namespace that this process runs."""

    runner: NamespaceRunner
    ends: KnownEnds


class WorkerMetrics:
    """Of one process. Its namespaces are added before they start; `text` is called by any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._namespaces: dict[str, MeteredNamespace] = {}
        self._times = WorkerTimes(self.registry)
        self.registry.register(_WorkerStates(self._namespaces))

    def meter(self, namespace: str) -> Meter:
        return _NamespaceMeter(self._times, namespace)

    def add(self, namespace: str, runner: NamespaceRunner, ends: KnownEnds) -> None:
        self._namespaces[namespace] = MeteredNamespace(runner, ends)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class WorkerTimes:
    """Histograms and counters, which threads add to."""

    def __init__(self, registry: CollectorRegistry) -> None:
        of = ("namespace",)
        self.batches = Histogram(
            "retold_worker_batch_seconds", "Time to handle and commit a batch of records.", of,
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.commits = Histogram(
            "retold_worker_commit_seconds", "Time to write and commit a transaction.", of, buckets=SECONDS, registry=registry
        )
        self.sizes = Histogram(
            "retold_worker_transaction_events", "Records, timers and answers in a transaction.", of,
            buckets=EVENTS, registry=registry,
        )  # fmt: skip
        self.aborted = Counter("retold_worker_transactions_aborted", "Transactions that were aborted.", of, registry=registry)
        self.lost = Counter(
            "retold_worker_transactions_lost", "Transactions whose end was not known, so that all was restored.", of,
            registry=registry,
        )  # fmt: skip
        self.restores = Histogram(
            "retold_worker_restore_seconds", "Time from a partition's assignment until it was restored.", of,
            buckets=RESTORE_SECONDS, registry=registry,
        )  # fmt: skip
        self.calls = Histogram(
            "retold_worker_gateway_seconds", "Time of one try of a gateway's call: answered, failed or given_up.",
            ("type", "outcome"), buckets=CALL_SECONDS, registry=registry,
        )  # fmt: skip


class _NamespaceMeter(Meter):
    def __init__(self, times: WorkerTimes, namespace: str) -> None:
        self._calls = times.calls
        self._batches, self._commits = times.batches.labels(namespace), times.commits.labels(namespace)
        self._sizes, self._restores = times.sizes.labels(namespace), times.restores.labels(namespace)
        self._aborted, self._lost = times.aborted.labels(namespace), times.lost.labels(namespace)

    def handled(self, seconds: float) -> None:
        self._batches.observe(seconds)

    def committed(self, seconds: float, events: int) -> None:
        self._commits.observe(seconds)
        self._sizes.observe(events)

    def aborted(self) -> None:
        self._aborted.inc()

    def lost(self) -> None:
        self._lost.inc()

    def restored(self, seconds: float) -> None:
        self._restores.observe(seconds)

    def called(self, event_type: str, outcome: str, seconds: float) -> None:
        self._calls.labels(event_type, outcome).observe(seconds)


class _WorkerStates(Collector):
    """Computed when Prometheus scrapes, from what the namespaces' threads have left: nobody waits for anybody."""

    def __init__(self, namespaces: Mapping[str, MeteredNamespace]) -> None:
        self._namespaces = namespaces

    def collect(self) -> Iterable[Metric]:
        of = ("namespace",)
        words = "1: this worker runs the namespace; 0: it has ended, or waits until its rows are built."
        running = GaugeMetricFamily("retold_worker_running", words, labels=of)
        states = GaugeMetricFamily(
            "retold_worker_partitions", "Partitions of this worker, by what it does with them.", labels=(*of, "state")
        )
        for name, it in self._namespaces.items():
            running.add_metric((name,), float(it.runner.running and it.runner.waits is None))
            found = [task.state for task in it.runner.cycle.tasks.all()]
            for state in OPEN:
                states.add_metric((name, state.value), found.count(state))
        yield from (running, states, *self._partitions())

    def _partitions(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "retold_worker_inbox_lag", "Records of the inbox that this worker has not handled; looked at every 5 s.",
            labels=PARTITION,
        )  # fmt: skip
        events = CounterMetricFamily(
            "retold_worker_events", "As the partition's marker counts them, since the topic was made.",
            labels=(*PARTITION, "what"),
        )  # fmt: skip
        gauges = {
            name: GaugeMetricFamily(f"retold_worker_{name}", words, labels=PARTITION)
            for name, words in (
                ("rows", "Rows in this worker's memory, with those that are deleted."),
                ("parked_events", "Events that are parked now."),
                ("parked_keys", "Keys that are blocked by parked events."),
                ("calls_pending", "Calls of gateways that wait for an answer."),
                ("timers_pending", "Timers that have not fired."),
            )
        }
        for name, it in self._namespaces.items():
            ends = it.ends()
            for task in it.runner.cycle.tasks.all():
                labels = (name, str(task.partition))
                for what, count in _figures(task).items():
                    gauges[what].add_metric(labels, count)
                for what, count in _counted(task).items():
                    events.add_metric((*labels, what), count)
                if (behind := _lag(task, ends)) is not None:
                    lag.add_metric(labels, behind)
        yield from (lag, events, *gauges.values())


def _figures(task: PartitionTask) -> Mapping[str, int]:
    """Nothing of a partition that is not restored."""
    if (image := task.rows) is None:
        return {}
    queues = list(image.parked.values())  # in one step: the namespace's thread changes it
    return {
        "rows": len(image.rows),
        "parked_events": sum(map(len, queues)),
        "parked_keys": len(queues),
        "calls_pending": len(image.calls),
        "timers_pending": len(image.due),
    }


def _counted(task: PartitionTask) -> Mapping[str, int]:
    image = task.rows
    return {} if image is None else {name: getattr(image.counters, name) for name in COUNTED}


def _lag(task: PartitionTask, ends: Mapping[int, int]) -> int | None:
    """None while it is not known: the partition is being restored, or its end was not seen."""
    end = ends.get(task.partition)
    try:
        return None if end is None else max(0, end - task.handled_to)
    except IllegalTransition:
        return None
