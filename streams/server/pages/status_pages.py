"""The status of the application and of this server, as a page."""

from __future__ import annotations

from streams.server.pages.page_request import Page, PageRefused, PageRequest

FORBIDDEN = 403


async def status(asked: PageRequest) -> Page:
    """What needs somebody comes first, also while the broker is away."""
    answer = await asked.api.get(asked.path, asked.query)
    if answer.status == FORBIDDEN:
        raise PageRefused(answer)
    found = answer.value
    values = found if answer.is_good else {
        "checks": [], "application": asked.parts.app.name, "broker": None, "prefix": "", "namespaces": [],
        "open_transactions": [], "server": found.get("server"), "problem": found["detail"],
    }  # fmt: skip
    return Page("status.html", "Status", "/-/status", {"problem": None, **values}, answer, answer.status)
