"""Metrics of the file that a server answers from, and of its disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

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
        with suppress(OSError):  # it is made anew
            for family, value in zip((size, free), _sizes(self._model.file), strict=True):
                family.add_metric((), value)
        yield from (size, free)


def _sizes(file: Path | None) -> tuple[int, int]:
    """Bytes of the file, and those that are free beside it. Raises OSError."""
    if file is None:
        raise FileNotFoundError
    disk = os.statvfs(file.parent)
    return sum(each.stat().st_size for each in file.parent.glob(f"{file.name}*")), disk.f_bavail * disk.f_frsize
