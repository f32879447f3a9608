"""What the benchmark says: figures as medians with ranges, for people and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PEERS = ("faust", "quix", "kafka-streams", "raw")
LABELS = {
    "raw": "raw: consume, headers, decode",
    "faust": "stock Faust, exactly_once",
    "quix": "Quix Streams, exactly-once",
    "kafka-streams": "Kafka Streams, exactly_once_v2",
    "us": "retold",
}
Rates = Mapping[str, Sequence[float]]
Latencies = Mapping[str, Sequence[Mapping[str, float]]]


def summary(rates: Rates, latency: Latencies, left_out: Mapping[str, str]) -> dict[str, Any]:
    """`rates`: events per second of each run. Who took no part, or was wrong in any run, has no figure (null)."""
    rates = {name: rates.get(name, ()) if name not in left_out else () for name in ("us", *PEERS)}
    medians = {name: round(statistics.median(found)) if found else None for name, found in rates.items()}
    us = medians["us"]
    return {
        "events_per_second": medians,
        "ratio": {peer: round(us / median, 2) if us and (median := medians[peer]) else None for peer in PEERS},
        "range": {name: [round(min(found)), round(max(found))] for name, found in rates.items() if found},
        "latency_ms": {at: _percentiles(runs) for at, runs in latency.items() if "latency" not in left_out},
        "left_out": dict(left_out),
    }


def _percentiles(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The median over the runs of each percentile, and the range of p50."""
    p50 = [run["p50"] for run in runs]
    return {
        "p50": round(statistics.median(p50), 1),
        "p99": round(statistics.median(run["p99"] for run in runs), 1),
        "p50_range": [round(min(p50), 1), round(max(p50), 1)],
    }


def show(figures: Mapping[str, Any], console: Console) -> None:
    if figures["range"]:
        _show_rates(figures, console)
    for at, found in figures["latency_ms"].items():
        low, high = found["p50_range"]
        console.print(
            f"published to row visible, at {at}: p50 {found['p50']} ms ({low} to {high}), p99 {found['p99']} ms"
        )
    for name, reason in figures["left_out"].items():
        console.print(f"[bold]no figure for {name}[/bold]: {reason}", highlight=False)


def _show_rates(figures: Mapping[str, Any], console: Console) -> None:
    table = Table(title="Events per second, medians")
    for column in ("who", "events/s", "from", "to", "retold is"):
        table.add_column(column, justify="left" if column == "who" else "right")
    for name, rate in figures["events_per_second"].items():
        low, high = figures["range"].get(name, ("", ""))
        ratio = figures["ratio"].get(name)
        cells = [_number(rate), _number(low), _number(high), f"{ratio:.2f} times" if ratio else ""]
        table.add_row(LABELS[name], *cells)
    console.print(table)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
