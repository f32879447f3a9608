"""Finds what somebody typed: a row, a key, an event's id, or a place."""

from __future__ import annotations

import re

from streams.history.story.named_event import POSITION
from streams.server.http.problems import Problem
from streams.server.pages.page_request import Elsewhere, PageRequest
from streams.server.pages.page_templates import aside_url, event_url, row_url

INBOX = re.compile(r"[a-z][a-z0-9_]{0,62}-[0-9]{1,6}@[0-9]{1,18}(-[0-9]{1,9})?")


async def go(asked: PageRequest) -> Elsewhere:
    """To the first that there is. Raises a 404 problem."""
    text = dict(asked.pairs).get("to", "").strip()
    for url in _places(asked, text) if text else ():
        if (await asked.api.get(url)).is_good:
            return Elsewhere(url.removesuffix("/story") if url.startswith("/rows/") else url)
    spaces = ", ".join(space.name for space in asked.parts.app.namespaces)
    raise Problem(
        404, f"{text[:100]!r} is no key of {spaces}, no id of an event, and no place such as user-3:7 or user-3@1042", field="to"
    )


def _places(asked: PageRequest, text: str) -> list[str]:
    """Where it may be, in the order in which it is looked for. A key may have no row and a story all the same."""
    spaces = [space.name for space in asked.parts.app.namespaces]
    if text in spaces:
        return [f"/rows/{text}"]
    found = [aside_url(text)] if INBOX.fullmatch(text) else []
    if POSITION.fullmatch(text):
        found.append(event_url(text))
    name, slash, key = text.partition("/")
    if slash and name in spaces and key:
        found += _of_key(name, key)
    for space in spaces:
        found += _of_key(space, text)
    return [*found, event_url(text)]


def _of_key(namespace: str, key: str) -> list[str]:
    url = row_url(namespace, key)
    return [url, f"{url}/story"]
