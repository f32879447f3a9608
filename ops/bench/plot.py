"""`python -m ops.bench.plot [RESULTS] [SVG]`: draws a results file for the documentation, as plain SVG.

Two panels: events per second, and CPU of an event. A bar is the median of the rounds; the line on it goes from lowest to highest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ops.bench.figures import CPU, EVENTS
from ops.bench.plan import CHAIN, FOLD, STORY

HERE = Path(__file__).parent
RESULTS, PICTURE = HERE / "results" / "bench.json", HERE.parents[1] / "docs" / "benchmark.svg"
WIDTH, LABELS, ROW, BAR, TOP = 760, 250, 26, 15, 46
ROOM = 76
"""Pixels at the right, for a figure beside the longest bar."""
OURS, THEIRS, INK, QUIET, PAPER = "#0f766e", "#94a3b8", "#1e293b", "#64748b", "#ffffff"


class PlotRow(NamedTuple):
    """A bar: `work` as in the names of figures."""

    work: str
    label: str
    ours: bool = False


RACE_ROWS = (
    PlotRow("us", "retold", ours=True),
    PlotRow("kafka-streams", "Kafka Streams, exactly_once_v2"),
    PlotRow("quix", "Quix Streams, exactly-once"),
    PlotRow("faust", "stock Faust, exactly_once"),
    PlotRow("raw", "consume, headers, decode alone"),
    PlotRow(STORY, "retold: sign-up, folder and mail", ours=True),
    PlotRow(FOLD, "retold: a log folded, no writes", ours=True),
)
CPU_ROWS = (
    *(row for row in RACE_ROWS[:5] if row.work != "faust"),  # the others beside it would be too short to see
    PlotRow(f"{CHAIN}, root that emits two", "retold: a root that emits two", ours=True),
    PlotRow(f"{CHAIN}, derived", "retold: a derived event", ours=True),
)
PANELS = (("Events per second{rounds}", EVENTS, RACE_ROWS), ("CPU of the process for an event, in µs", CPU, CPU_ROWS))


def drawn(results: Mapping[str, Any]) -> str:
    """The SVG. What a run did not measure has no bar; an empty panel is left out."""
    parts, below = [], 12
    for title, unit, rows in PANELS:
        found = [(row, results["figures"][name]) for row in rows if (name := f"{row.work}: {unit}") in results["figures"]]
        if found:
            parts.append(_panel(title.format(rounds=f": median of {results['rounds']} rounds, lowest to highest"), found, below))
            below += TOP + ROW * len(found) + 14
    note = f"{results['at'][:10]}, {results['cores']} cores shared with Kafka, Python {results['python']}"
    if load := results.get("load"):
        note += f", load {load[0]:g} to {load[1]:g}"
    if results["quick"]:
        note += "; a quick run: no figures to keep"
    parts.append(_text(20, below + 8, note, QUIET, 11))
    height = below + 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(_said(results))}" font-family="system-ui, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(title: str, found: Sequence[tuple[PlotRow, Mapping[str, float]]], above: int) -> str:
    most = max(one["high"] for _, one in found) or 1
    scale = (WIDTH - LABELS - ROOM) / most
    parts = [_text(20, above + 20, title, INK, 14, weight="600")]
    for number, (row, one) in enumerate(found):
        y = above + TOP - 12 + number * ROW
        low, high, median = (LABELS + one[name] * scale for name in ("low", "high", "median"))
        middle, colour = y + BAR / 2, OURS if row.ours else THEIRS
        parts += [
            _text(LABELS - 10, y + 12, row.label, INK, 12, anchor="end", weight="600" if row.work == "us" else "400"),
            f'<rect x="{LABELS}" y="{y}" width="{median - LABELS:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {y + 4}v7M{high:.1f} {y + 4}v7" stroke="{INK}" fill="none"/>',
            _text(max(high, median) + 8, y + 12, _number(one["median"]), INK, 12),
        ]
    return "\n".join(parts)


def _text(x: float, y: float, words: str, ink: str, size: int, *, anchor: str = "start", weight: str = "400") -> str:
    look = f'fill="{ink}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _said(results: Mapping[str, Any]) -> str:
    """For who does not see it."""
    rates = [(row.label, one["median"]) for row in RACE_ROWS if (one := results["figures"].get(f"{row.work}: {EVENTS}"))]
    return "Events per second: " + ", ".join(f"{label} {rate:,.0f}" for label, rate in rates)


def main(results: Path = RESULTS, picture: Path = PICTURE) -> None:
    picture.write_text(drawn(json.loads(results.read_text())), encoding="utf-8")
    print(f"{picture} is written")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
