"""Metrics of several processes as those of one server: a scrape must not jump with the process that answers it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from prometheus_client import Metric
from prometheus_client.registry import Collector

Sample = tuple[str, dict[str, str], float]
"""Name, labels, value."""
COUNTED: Final = ("counter", "histogram")
CREATED: Final = "_created"
"""Ends the name of a sample that says since when is counted: the earliest counts."""


class Family(msgspec.Struct, frozen=True):
    """A metric with its samples. `kind` as prometheus_client has it."""

    name: str
    help: str
    kind: str
    samples: list[Sample]


def families_of(collector: Collector) -> list[Family]:
    return [
        Family(it.name, it.documentation, it.type, [(sample.name, dict(sample.labels), sample.value) for sample in it.samples])
        for it in collector.collect()
    ]


def summed(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """One family for each name, with the sums of all samples with the same labels."""
    found: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (it for part in parts for it in part):
        found.setdefault(family.name, family)
        values = sums.setdefault(family.name, {})
        for name, labels, value in family.samples:
            at = name, tuple(sorted(labels.items()))
            if at not in values:
                values[at] = value
            else:
                values[at] = min(values[at], value) if name.endswith(CREATED) else values[at] + value
    return [
        Family(it.name, it.help, it.kind, [(name, dict(labels), value) for (name, labels), value in sums[it.name].items()])
        for it in found.values()
    ]


def counted(families: Sequence[Family]) -> list[Family]:
    """What stays of a process that has ended: a total that fell would look like a new beginning."""
    return [it for it in families if it.kind in COUNTED]


class FamilyCollector(Collector):
    """These, to be written as Prometheus reads them."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.help, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric
