"""A stream of server-sent events that is read event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
from httpx_sse import EventSource, ServerSentEvent

STREAM = {"Accept": "text/event-stream"}


class Told(NamedTuple):
    """`data` is None for an event that only says where the stream stands."""

    name: str
    data: Any
    id: str


class Following:
    """An open stream. `next` waits for an event that tells something; `id` is the place behind the last one."""

    def __init__(self, events: Iterator[ServerSentEvent]) -> None:
        self._events, self.id = events, ""

    def next(self) -> tuple[str, Any]:
        for it in self._events:
            self.id = it.id or self.id
            if it.data:
                return it.event, json.loads(it.data)
        raise EOFError("the stream has ended")

    def some(self, count: int) -> list[tuple[str, Any]]:
        return [self.next() for _ in range(count)]

    def begun(self) -> str:
        """The place that is told first."""
        it = next(each for each in self._events if each.id)
        assert not it.data
        self.id = it.id
        return self.id


@contextmanager
def following(http: httpx.Client, url: str, **headers: str) -> Iterator[Following]:
    with http.stream("GET", url, headers={**STREAM, **{name.replace("_", "-"): it for name, it in headers.items()}}) as got:
        if got.status_code != 200:
            got.read()
        assert got.status_code == 200, got.text
        assert got.headers["content-type"].startswith("text/event-stream")
        yield Following(EventSource(got).iter_sse())
