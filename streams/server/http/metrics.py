"""Prometheus metrics: requests, the topics that are followed, and the counters in the tables' markers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from streams.engine.marker import Marker, producers_replaced
from streams.kafka.alarms import Check
from streams.server.connections import Connections
from streams.server.http.application_metrics import ApplicationMetrics
from streams.server.http.parts import Siblings
from streams.server.http.problems import is_stream
from streams.server.http.store_metrics import StoreMetrics
from streams.server.http.stream_text import STREAMED
from streams.server.processes.summed_figures import FamilyCollector
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.observed_status import ObservedStatus
from streams.server.readmodel.state_counts import StateCounts

COUNTED = ("accepted", "rejected", "duplicates", "emitted")
METHODS = frozenset(HTTPMethod)


class Metrics:
    """The metrics of one server; two in one process count separately.

    `own` has what each process of a server counts for itself, `registry` what all of them know.
    """

    def __init__(
        self,
        model: ReadModel,
        watching: Collection[object],
        states: StateCounts,
        connections: Connections | None = None,
        observed: ObservedStatus | None = None,
        checks: Callable[[], Iterable[Check]] = tuple,
    ) -> None:
        self.registry, self.own = CollectorRegistry(), CollectorRegistry()
        self._requests = Counter("retold_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.own)
        self._seconds = Histogram(
            "retold_http_seconds", "Time to answer, in seconds; streams are not counted.", ("route",), registry=self.own
        )
        self._of: dict[tuple[str, str, int], tuple[Counter, Histogram | None]] = {}
        self.own.register(_Door(Connections() if connections is None else connections, watching))
        self.registry.register(_Followed(model))
        self.registry.register(StoreMetrics(model))
        self.registry.register(_States(states))
        self.registry.register(ApplicationMetrics(model, observed or ObservedStatus()))
        self.registry.register(_Checks(checks))

    def answered(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        """`status` is 0 if the client left before there was an answer."""
        route = getattr(scope.get("route"), "path_format", "none")
        known = method if method in METHODS else "other"  # bounds the label: anyone may send any method, even without a token
        at = known, route, status
        if at not in self._of:  # to look one up takes longer than to count
            times = None if is_stream(route) else self._seconds.labels(route)
            self._of[at] = self._requests.labels(known, route, str(status)), times
        requests, times = self._of[at]
        requests.inc()
        if times is not None and not scope.get(STREAMED):
            times.observe(seconds)

    def text(self, link: Siblings | None = None) -> bytes:
        """Of all processes of the server. It may wait for them for seconds."""
        if link is None:
            return generate_latest(self.registry) + generate_latest(self.own)
        return generate_latest(self.registry) + generate_latest(FamilyCollector(link.all_figures()))


class _Followed(Collector):
    """Computed when Prometheus scrapes."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("retold_ready", "1: tables and logs are read.", float(self._model.waits is None))
        yield GaugeMetricFamily("retold_faults", "What is wrong now; /-/status says it.", len(self._model.faults))
        yield from self._tables()
        yield from self._partition_metrics()

    def _tables(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("retold_rows", "Rows of a table or projection.", labels=("table",))
        for name, size in self._model.sizes().items():
            rows.add_metric((name,), size)
        yield rows

    def _projections(self) -> Iterator[Metric]:
        names = ("projection",)
        stopped = GaugeMetricFamily("retold_projection_stopped", "1: its fold raised, and it is stopped.", labels=names)
        lag = GaugeMetricFamily("retold_projection_lag", "Events of its logs that it has not folded yet.", labels=names)
        ages = GaugeMetricFamily("retold_projection_lag_seconds", "How long ago it had folded all.", labels=names)
        rebuilt = GaugeMetricFamily("retold_projection_rebuilt_ratio", "1, or how much is folded again.", labels=names)
        now, logs = time.monotonic(), [key for key in sorted(self._model.lags) if key[0] == "log"]
        for name, spaces in self._model.folded_by.items():
            stopped.add_metric((name,), float(name in self._model.stopped))
            rebuilt.add_metric((name,), self._model.rebuilding.get(name, 100) / 100)
            of = [key for key in logs if key[1] in spaces]
            lag.add_metric((name,), sum(self._model.lags.get(key, 0) for key in of))
            ages.add_metric((name,), max((self._model.lag_ages.seconds(key, now) for key in of), default=0.0))
        yield from (stopped, lag, ages, rebuilt)

    def _producers(self) -> Metric:
        """From the workers that wrote last; a restarted worker counts from 0."""
        replaced = CounterMetricFamily(
            "retold_producers_replaced",
            "Producers given up because the end of a transaction was disturbed.",
            labels=("namespace", "transactional_id"),
        )
        spaces: dict[str, list[Marker]] = {}
        for (namespace, _), last in sorted(self._model.markers.items()):
            spaces.setdefault(namespace, []).append(last)
        for namespace, markers in spaces.items():
            for worker, count in producers_replaced(markers).items():
                replaced.add_metric((namespace, worker), count)
        return replaced

    def _partition_metrics(self) -> Iterator[Metric]:
        label_names = ("namespace", "partition")
        position = GaugeMetricFamily("retold_position", "Last sequence whose row is here.", labels=label_names)
        lag = GaugeMetricFamily("retold_read_lag", "Committed records not read here yet.", labels=("kind", *label_names))
        ages = GaugeMetricFamily(
            "retold_read_lag_seconds", "How long ago everything was read here.", labels=("kind", *label_names)
        )
        events = CounterMetricFamily("retold_events", "Events handled by workers.", labels=("what", *label_names))
        pending = GaugeMetricFamily("retold_pending", "Calls and timers that wait.", labels=("kind", *label_names))
        for (namespace, number), last in sorted(self._model.markers.items()):
            labels = (namespace, str(number))
            position.add_metric(labels, last.last)
            pending.add_metric(("call", *labels), last.calls)
            pending.add_metric(("timer", *labels), last.timers)
            for what in COUNTED:
                events.add_metric((what, *labels), getattr(last.counters, what))
        for (kind, namespace, number), behind in sorted(self._model.lags.items()):
            lag.add_metric((kind, namespace, str(number)), behind)
            seconds = self._model.lag_ages.seconds((kind, namespace, number), time.monotonic())
            ages.add_metric((kind, namespace, str(number)), seconds)
        yield from (position, lag, ages, *self._projections(), events, pending, self._producers())


class _Door(Collector):
    """Connections, streams, and what was not served."""

    def __init__(self, connections: Connections, watching: Collection[object]) -> None:
        self._connections, self._watching = connections, watching

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("retold_http_processes", "Processes of this server that answer.", 1)
        yield GaugeMetricFamily("retold_live_streams", "Clients that watch a log.", len(self._watching))
        yield GaugeMetricFamily("retold_http_connections", "Connections that are open.", len(self._connections))
        refused = CounterMetricFamily(
            "retold_http_refused",
            "Requests and connections not served: too many, too slow (head, body, reader), too large (size), malformed.",
            labels=("why",),
        )
        for why, count in sorted(self._connections.refused.items()):
            refused.add_metric((why,), count)
        yield refused


class _States(Collector):
    """Computed when Prometheus scrapes, from the last known states: a scrape does not wait for Kafka."""

    def __init__(self, states: StateCounts) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        partitions = GaugeMetricFamily(
            "retold_partitions",
            "Partitions by what their workers do; none while that is not known.",
            labels=("namespace", "state"),
        )
        for labels, count in sorted(self._states.counts.items()):
            partitions.add_metric(labels, count)
        yield partitions


class _Checks(Collector):
    """What `/-/health` says, so that also what has no metric of its own pages somebody."""

    def __init__(self, checks: Callable[[], Iterable[Check]]) -> None:
        self._checks = checks

    def collect(self) -> Iterable[Metric]:
        found = [each.state for each in self._checks()]
        counts = GaugeMetricFamily("retold_checks", "Checks of /-/health that are not good.", labels=("state",))
        for state in ("warn", "bad"):
            counts.add_metric((state,), found.count(state))
        yield counts
