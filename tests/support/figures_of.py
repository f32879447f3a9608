"""The figures in a text of Prometheus' metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def figures_of(text: str, name: str) -> dict[tuple[str, ...], float]:
    """By the values of the labels, in the order of the labels' names."""
    samples = (each for family in text_string_to_metric_families(text) for each in family.samples if each.name == name)
    return {tuple(each.labels[label] for label in sorted(each.labels)): each.value for each in samples}
