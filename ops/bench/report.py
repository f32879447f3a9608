"""What the benchmark says: figures as medians with ranges, for people and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from ops.bench.bars import BARS
from ops.bench.figures import BenchFigures

LABELS = {
    "raw": "consume, headers, decode",
    "faust": "stock Faust, exactly_once",
    "quix": "Quix Streams, exactly-once",
    "kafka-streams": "Kafka Streams, exactly_once_v2",
    "us": "retold",
}


def results(figures: BenchFigures) -> dict[str, Any]:
    """`figures`: median, low, high and values of each, with the shortest window in s. `bars`: what was reached and is aimed at."""
    bars = [
        {"what": bar.what, "reached": round(value, 3), "bar": bar.bar, "goal": bar.goal, "met": bar.met(value)}
        for bar in BARS
        if (value := bar.reached(figures)) is not None
    ]
    return {
        "figures": figures.summary(), "bars": bars, "left_out": figures.left_out, "repeated": dict(figures.repeated),
        "load": [round(load, 1) for load in (min(figures.loads), max(figures.loads))] if figures.loads else [],
    }  # fmt: skip


def show(found: dict[str, Any], console: Console) -> None:
    if found["figures"]:
        table = Table(title="Medians of all rounds")
        for column in ("what", "median", "from", "to", "shortest window"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for name, one in found["figures"].items():
            window = f"{one['shortest_window']:.0f} s" if "shortest_window" in one else ""
            table.add_row(_label(name), *(_number(one[column]) for column in ("median", "low", "high")), window)
        console.print(table)
    if found["bars"]:
        table = Table(title="What is aimed at")
        for column in ("what", "reached", "bar", "goal", "met"):
            table.add_column(column, justify="left" if column in ("what", "met") else "right")
        for bar in found["bars"]:
            table.add_row(bar["what"], *(_number(bar[column]) for column in ("reached", "bar", "goal")), bar["met"])
        console.print(table)
    for name, reasons in found["repeated"].items():
        console.print(f"made again, {name}: {'; '.join(reasons)}", highlight=False, markup=False)
    for name, reason in found["left_out"].items():
        console.print(f"no figure for {name}: {reason}", highlight=False, markup=False)


def _label(name: str) -> str:
    who, _, rest = name.partition(":")
    return f"{LABELS.get(who, who)}:{rest}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,g}"
