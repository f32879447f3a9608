"""Pages of what waits: timers, and calls of gateways."""

from __future__ import annotations

from urllib.parse import urlencode

from streams.server.pages.page_request import Elsewhere, Page, PageRequest

FILTERS = ("namespace", "key")


async def timers(asked: PageRequest) -> Page | Elsewhere:
    return await _waiting(asked, "timers")


async def calls(asked: PageRequest) -> Page | Elsewhere:
    return await _waiting(asked, "calls")


async def _waiting(asked: PageRequest, kind: str) -> Page | Elsewhere:
    pairs = [pair for pair in asked.pairs if pair[1]]
    if len(pairs) != len(asked.pairs):  # a form sends what is empty, too
        return Elsewhere(asked.path + (f"?{urlencode(pairs)}" if pairs else ""))
    answer = await asked.answer()
    found, given = answer.value, dict(pairs)
    following = f"{asked.path}?{urlencode({**given, '_next': found['next']})}" if found["next"] else None
    values = {
        "found": found[kind], "counts": found["counts"], "kind": kind, "following": following,
        "given": {name: given.get(name, "") for name in FILTERS},
        "namespaces": [space.name for space in asked.parts.app.namespaces],
    }  # fmt: skip
    return Page("waiting.html", kind.capitalize(), "/waiting/timers", values, answer)
