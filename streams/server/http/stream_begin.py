"""Where a stream begins: at the place that its client has come to, or as `_from` says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, cast

from starlette.requests import Request

from streams.server.http.problems import Problem
from streams.server.http.shared_stream import Begin

OURS: Final = ("_from", "_after")
From = Literal["now", "snapshot", "beginning"]


def begin_in(request: Request, given: Mapping[str, str], possible: Collection[From]) -> Begin:
    """A client that comes back sends Last-Event-ID, or `_after`; these count more than `_from`. Raises a 422 problem."""
    how = given.get("_from", "now")
    if how not in possible:
        raise Problem(
            422, f"_from is {how[:80]!r}; {' or '.join(possible)} was expected", field="_from", kind="wrong-value"
        )
    place = request.headers.get("last-event-id") or given.get("_after")
    return Begin("place", place) if place else Begin(cast(From, how))


def place_field(request: Request) -> str:
    """What its place was given in."""
    return "Last-Event-ID" if request.headers.get("last-event-id") else "_after"
