"""Metrics of the file that a server answers from, and of its disk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from streams.server.readmodel.disk_room import room_of
from streams.server.readmodel.model import ReadModel


class StoreMetrics(Collector):
    """Computed when Prometheus scrapes. Sizes have no values while there is no file."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model

    def collect(self) -> Iterable[Metric]:
        commits = self._model.commits
        yield HistogramMetricFamily(
            "retold_store_commit_seconds", "Time that a transaction of the file took, in seconds.", commits.buckets(), commits.sum
        )
        yield CounterMetricFamily("retold_store_errors", "Times that the file could not be written.", commits.errors)
        size = GaugeMetricFamily("retold_store_bytes", "Size of the file, with its journal.", labels=())
        free = GaugeMetricFamily("retold_disk_free_bytes", "Room that the disk of the file has.", labels=())
        disk = GaugeMetricFamily("retold_disk_bytes", "Size of the disk of the file.", labels=())
        if (file := self._model.file) is not None:
            with suppress(OSError):  # it is made anew
                size.add_metric((), sum(each.stat().st_size for each in file.parent.glob(f"{file.name}*")))
        if (room := room_of(file)) is not None:
            free.add_metric((), room.free)
            disk.add_metric((), room.size)
        yield from (size, free, disk)
