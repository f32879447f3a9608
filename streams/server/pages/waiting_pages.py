"""Pages of what waits: timers, and calls of gateways."""

from __future__ import annotations

from streams.server.pages.filter_form import filter_values, without_empty
from streams.server.pages.page_request import Elsewhere, Page, PageRequest

FILTERS = ("namespace", "key")


async def timers(asked: PageRequest) -> Page | Elsewhere:
    return await _waiting(asked, "timers")


async def calls(asked: PageRequest) -> Page | Elsewhere:
    return await _waiting(asked, "calls")


async def _waiting(asked: PageRequest, kind: str) -> Page | Elsewhere:
    if (same := without_empty(asked)) is not None:
        return same
    answer = await asked.answer()
    found = answer.value
    values = {
        "found": found[kind], "counts": found["counts"], "kind": kind,
        **filter_values(asked, FILTERS, found["next"], "read", "events/"),
    }  # fmt: skip
    return Page("waiting.html", kind.capitalize(), "/waiting/timers", values, answer)
