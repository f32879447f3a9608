"""The first page: namespaces, what is in them and what stands still, and how their events lead to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.server.pages.flow_graph import BoxLine, flow_graph
from streams.server.pages.page_request import Page, PageRequest
from streams.server.pages.table_pages import NAMED

TROUBLE = ("blocked", "parked", "unanswered")
"""Counts of a namespace that somebody has to look at."""


async def flow(asked: PageRequest) -> Page:
    answer = await asked.answer()
    found = answer.value
    spaces = sorted(found["namespaces"], key=lambda it: not any(it[name] for name in TROUBLE))
    boxes = {it["name"]: _lines(it) for it in found["namespaces"]}
    calls = await asked.api.get("/corrections/calls")
    open_calls = len(calls.value["calls"]) if calls.is_good else 0
    handled = _handled(asked, found["namespaces"])
    values = {
        **found, "open_calls": open_calls, "namespaces": spaces, "graph": flow_graph(boxes, found["flow"]),
        "handled": handled and not open_calls,
        "views": [{"path": it.strip("/"), "names": NAMED.findall(it)} for it in found["views"]],
        "aside": [it for it in spaces if it["parked"] or it["unanswered"]],
        "checks": [it for it in found["checks"] if not it["name"].endswith(".parked")],
    }  # fmt: skip
    return Page("flow.html", "Flow", "/", values, answer)


def _handled(asked: PageRequest, spaces: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether all that was published is handled, and nothing is blocked or set aside; None: that is not known.

    False also if who asks may not be told it of any of them: then nothing is said.
    """
    told = asked.principal.some("operate", "", [it["name"] for it in spaces])
    if any(it[name] for it in spaces for name in (*TROUBLE, "lag")):
        return False
    return None if any(it["lag"] is None for it in spaces if it["name"] in told) else bool(told)


def _lines(space: Mapping[str, Any]) -> list[BoxLine]:
    """The events of a namespace; beside a gateway's, how many calls wait, which are counted for all of them together."""
    handled = [BoxLine(name, "handler", "") for name in space["handles"]]
    waits = f"{space['calls']:,} wait" if space["calls"] and len(space["calls_for"]) == 1 else ""
    return [*handled, *(BoxLine(name, "gateway", waits) for name in space["calls_for"])]
