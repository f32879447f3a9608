"""Metrics of the application as it was seen last: what waits, since when, who owns it, and what is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.engine.readable import named
from streams.engine.times import to_micros
from streams.kafka.alarms import blocked_for, seconds_since
from streams.kafka.blocked import CAUSES, blocked
from streams.kafka.status import NamespaceStatus, Status
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.observed_status import ObservedStatus


class ApplicationMetrics(Collector):
    """The application as it was seen last. While nothing is known, these metrics are absent, not 0."""

    def __init__(self, model: ReadModel, observed: ObservedStatus) -> None:
        self._model, self._observed = model, observed

    def collect(self) -> Iterable[Metric]:
        up = self._observed.begun and not self._observed.is_old and "broker" not in self._model.faults
        yield GaugeMetricFamily("retold_broker_up", "1: Kafka answers.", float(up))
        found = self._observed.status
        yield from () if found is None else self._of(found, time.time_ns() // 1000)

    def _of(self, found: Status, now: int) -> Iterator[Metric]:
        yield from self._partitions(found, now)
        yield from self._namespaces(found, now)
        yield from _transactions(found, now)

    def _partitions(self, found: Status, now: int) -> Iterator[Metric]:
        names = ("namespace", "partition")
        lag = GaugeMetricFamily("retold_inbox_lag", "Records of the inbox that are not handled.", labels=names)
        oldest = GaugeMetricFamily(
            "retold_inbox_oldest_seconds", "Age of the first record that is not handled.", labels=names
        )
        owned = GaugeMetricFamily(
            "retold_partition_owned", "1: a worker owns the partition.", labels=(*names, "owner")
        )
        handled = GaugeMetricFamily(
            "retold_handled_timestamp_seconds", "When the last transaction was recorded, in s since 1970.", labels=names
        )
        waiting = GaugeMetricFamily(
            "retold_waiting", "1: the partition is blocked at a record.", labels=(*names, "reason")
        )
        waits = GaugeMetricFamily(
            "retold_waiting_seconds", "For how long the partition has been blocked.", labels=(*names, "reason")
        )
        for space in found.namespaces:
            here = {it.partition: it for it in space.waiting}
            for part in space.partitions:
                labels = (space.name, str(part.partition))
                lag.add_metric(labels, part.lag)
                oldest.add_metric(labels, seconds_since(part.oldest, now))
                owned.add_metric((*labels, named(part.owner or "")), float(part.owner is not None))
                handled.add_metric(labels, part.recorded / 1e6)
                found_here = blocked(space.name, part, here.get(part.partition))
                for cause in CAUSES:
                    is_it = found_here is not None and found_here.cause == cause
                    waiting.add_metric((*labels, cause), float(is_it))
                    waits.add_metric((*labels, cause), blocked_for(part, now) if is_it else 0.0)
        yield from (lag, oldest, owned, handled, waiting, waits)

    def _namespaces(self, found: Status, now: int) -> Iterator[Metric]:
        figures: dict[str, tuple[str, Callable[[NamespaceStatus], float]]] = {
            "retold_namespace_ended": ("1: an error has ended it, or it waits for rows.", lambda it: it.ended is not None),
            "retold_topics_missing": ("Topics that do not exist.", lambda it: len(it.missing.topics) if it.missing else 0),
            "retold_parked_events": ("Events that are parked now.", lambda it: it.parked),
            "retold_parked_keys": ("Keys that are blocked by parked events.", lambda it: it.parked_keys),
            "retold_unanswered_calls": ("Requests whose gateway gave up.", lambda it: it.unanswered),
            "retold_quarantined_events": ("Records that are quarantined now.", lambda it: it.quarantined),
            "retold_parked_oldest_seconds": (
                "Age of the oldest event that is parked.", lambda it: seconds_since(it.parked_oldest, now)
            ),
            "retold_calls_pending": ("Calls of gateways that wait for an answer.", lambda it: it.calls),
            "retold_call_oldest_seconds": (
                "How long ago the oldest of them was asked for.", lambda it: seconds_since(it.call_asked, now)
            ),
            "retold_timers_pending": ("Timers that have not fired.", lambda it: it.timers),
            "retold_timer_overdue_seconds": (
                "How long ago the first of them was due.", lambda it: seconds_since(it.timer_due, now)
            ),
        }  # fmt: skip
        for name, (words, value) in figures.items():
            family = GaugeMetricFamily(name, words, labels=("namespace",))
            for space in found.namespaces:
                family.add_metric((space.name,), value(space))
            yield family
        rejected = CounterMetricFamily(
            "retold_rejected_with_cause", "Events that a handler emitted and another rejected.", labels=("namespace",)
        )
        for space in found.namespaces:
            rejected.add_metric((space.name,), space.counters.derived_rejected)
        yield rejected


def _transactions(found: Status, now: int) -> Iterator[Metric]:
    """Those that block readers; they are not looked for while they are young."""
    held = found.open_transactions
    ages = [seconds_since(to_micros(it.since), now) for it in held if it.since is not None]
    yield GaugeMetricFamily("retold_open_transactions", "Transactions that stay open.", len(held))
    yield GaugeMetricFamily(
        "retold_hanging_transactions", "Those of them that only an operator can end.", sum(it.hangs for it in held)
    )
    yield GaugeMetricFamily(
        "retold_open_transaction_oldest_seconds", "Age of the oldest of them; 0 if it is not known.", max(ages, default=0.0)
    )
