"""The flow of an application as SVG: namespaces are boxes, arrows are events that one's handler emits into another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.data import namespace_of

WIDTH, GAP_X, GAP_Y, ROW, HEAD = 190, 110, 34, 20, 30
"""Of a box and between boxes, of a line in it and of its name."""
MARGIN, SWEEPS = 40, 4
MOST = 40
"""Boxes that are drawn: more of them nobody can follow, and the words below the graph say the same."""

Edge = tuple[str, str]


class BoxLine(NamedTuple):
    """An event in a box. `kind` is handler or gateway; `note` stands at its right."""

    event: str
    kind: str
    note: str


class PlacedBox(NamedTuple):
    name: str
    x: float
    y: float
    height: int
    lines: Sequence[BoxLine]


class FlowArrow(NamedTuple):
    """`path` is what SVG draws; `back` leads against the direction of the others."""

    source: str
    target: str
    events: Sequence[str]
    path: str
    back: bool


class FlowGraph(NamedTuple):
    width: float
    height: float
    boxes: Sequence[PlacedBox]
    arrows: Sequence[FlowArrow]


def flow_graph(boxes: Mapping[str, Sequence[BoxLine]], flow: Mapping[str, Sequence[str]]) -> FlowGraph | None:
    """`flow` has the events that each event can lead to. None: there are too many namespaces to draw."""
    if not 0 < len(boxes) <= MOST:
        return None
    events = _between(boxes, flow)
    heights = {name: HEAD + ROW * len(lines) + 8 for name, lines in boxes.items()}
    ranks, back = _ranks(list(boxes), set(events))
    columns = _ordered(list(boxes), set(events), ranks)
    at, width, height = _placed(columns, heights)
    placed = [PlacedBox(name, *at[name], heights[name], lines) for name, lines in boxes.items()]
    arrows = [
        FlowArrow(a, b, names, _path(at[a], at[b], back=(a, b) in back), (a, b) in back) for (a, b), names in events.items()
    ]
    return FlowGraph(width, height, placed, arrows)


def _between(boxes: Mapping[str, Sequence[BoxLine]], flow: Mapping[str, Sequence[str]]) -> dict[Edge, list[str]]:
    """What is emitted from one namespace into another."""
    found: dict[Edge, list[str]] = {}
    for event, out in flow.items():
        for name in out:
            edge = namespace_of(event), namespace_of(name)
            if edge[0] != edge[1] and boxes.keys() >= {*edge} and name not in found.setdefault(edge, []):
                found[edge].append(name)
    return {edge: names for edge, names in found.items() if names}


def _ranks(nodes: Sequence[str], edges: set[Edge]) -> tuple[dict[str, int], set[Edge]]:
    """The longest way from a root to each, and the edges that close a circle, which are left out of that."""
    order, state, back = list[str](), dict[str, int](), set[Edge]()

    def visit(node: str) -> None:
        state[node] = 1
        for target in sorted(b for a, b in edges if a == node):
            if state.get(target) == 1:
                back.add((node, target))
            elif target not in state:
                visit(target)
        state[node] = 2
        order.append(node)

    targets = {b for _, b in edges}
    for node in [*(it for it in nodes if it not in targets), *nodes]:
        if node not in state:
            visit(node)
    rank = dict.fromkeys(nodes, 0)
    for node in reversed(order):
        for a, b in edges - back:
            if a == node:
                rank[b] = max(rank[b], rank[a] + 1)
    return rank, back


def _ordered(nodes: Sequence[str], edges: set[Edge], ranks: Mapping[str, int]) -> list[list[str]]:
    """Columns from left to right; in each, a box stands near those that it is connected to."""
    columns: dict[int, list[str]] = defaultdict(list)
    for node in nodes:
        columns[ranks[node]].append(node)
    near: dict[str, list[str]] = defaultdict(list)
    for a, b in sorted(edges):
        near[a].append(b)
        near[b].append(a)
    for _ in range(SWEEPS):
        for rank in (*sorted(columns), *sorted(columns, reverse=True)):
            places = {node: place for column in columns.values() for place, node in enumerate(column)}
            columns[rank].sort(key=lambda node: (_middle(node, near, places), node))
    return [columns[rank] for rank in sorted(columns)]


def _middle(node: str, near: Mapping[str, Sequence[str]], places: Mapping[str, int]) -> float:
    found = [places[other] for other in near.get(node, ())]
    return sum(found) / len(found) if found else places[node]


def _placed(
    columns: Sequence[Sequence[str]], heights: Mapping[str, int]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Where each box stands, and how wide and high all of it is."""
    talls = [sum(heights[node] + GAP_Y for node in column) - GAP_Y for column in columns]
    at: dict[str, tuple[float, float]] = {}
    for number, (column, tall) in enumerate(zip(columns, talls, strict=True)):
        y = MARGIN + (max(talls) - tall) / 2
        for node in column:
            at[node] = (10 + number * (WIDTH + GAP_X), y)
            y += heights[node] + GAP_Y
    return at, 20 + len(columns) * WIDTH + (len(columns) - 1) * GAP_X, max(talls) + 2 * MARGIN


def _path(source: tuple[float, float], target: tuple[float, float], *, back: bool) -> str:
    (xa, ya), (xb, yb) = source, target
    ya, yb = ya + HEAD / 2, yb + HEAD / 2
    if back or xb <= xa:
        return f"M{xa:g} {ya + 6:g} C{xa - 60:g} {ya + 40:g} {xb + WIDTH + 60:g} {yb + 40:g} {xb + WIDTH:g} {yb + 8:g}"
    middle = (xa + WIDTH + xb) / 2
    return f"M{xa + WIDTH:g} {ya:g} C{middle:g} {ya:g} {middle:g} {yb:g} {xb:g} {yb:g}"
