"""Watching a stream of server-sent events, as a stock client does."""

from __future__ import annotations

from itertools import islice
from typing import Any

import httpx
from httpx_sse import connect_sse


def watched(http: httpx.Client, url: str, count: int, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    """The first `count` events of a stream: of each the id to resume at, and the data."""
    with connect_sse(http, "GET", url, headers=headers) as source:
        source.response.raise_for_status()
        events = (event for event in source.iter_sse() if event.data)  # the first one only says where the stream stands
        return [(event.id, event.json()) for event in islice(events, count)]
