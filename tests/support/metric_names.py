"""The metrics that servers and workers export, and those that an expression of Prometheus asks for."""

from __future__ import annotations

import re

from streams import App
from streams.codec import codec_of
from streams.kafka.status import Status
from streams.server.http.metrics import Metrics
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.observed_status import ObservedStatus
from streams.server.readmodel.state_counts import StateCounts
from streams.worker.worker_metrics import WorkerMetrics


def exported(app: App) -> set[str]:
    """The names of all that Prometheus can ask for, also of what has no value now."""
    observed = ObservedStatus()
    observed.saw(Status("b", "", ()))
    server = Metrics(ReadModel(app, codec_of(app)), set(), StateCounts(), observed=observed)
    text = (server.text() + WorkerMetrics().text()).decode()
    names = set[str]()
    for name, kind in re.findall(r"(?m)^# TYPE (\w+) (\w+)$", text):
        names |= {f"{name}_{end}" for end in ("bucket", "count", "sum")} if kind == "histogram" else {name}
    return names


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bretold_\w+", expression))
