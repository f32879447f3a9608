"""Finds events that lead back to themselves. A cycle is no breach: its author must see whether it ends."""

from __future__ import annotations

from collections import deque

from streams.app import App


def cycles(app: App) -> list[list[str]]:
    """A shortest cycle for each event that can lead to itself; each cycle once, from its alphabetically first name."""
    edges = app.flow()
    found: list[list[str]] = []
    for start in sorted(edges):
        way = _way_back(edges, start)
        if way:
            first = way.index(min(way))
            turned = way[first:] + way[:first]
            if turned not in found:
                found.append(turned)
    return found


def _way_back(edges: dict[str, tuple[str, ...]], start: str) -> list[str]:
    """The events on a shortest path from `start` to itself; empty if there is none."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        for to in edges.get(at, ()):
            if to == start:
                way = [at]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if to not in came_from:
                came_from[to] = at
                queue.append(to)
    return []
