"""`/events` and `/events/NAMESPACE` as event streams: the log as it grows, of what the address asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from streams.server.http.access_checks import principal_of
from streams.server.http.answers import position, ready, standing
from streams.server.http.live import CATCH_UP_TIMEOUT
from streams.server.http.open_stream import open_stream
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.shared_stream import Begin
from streams.server.http.snapshot import refuse_new
from streams.server.http.stream_begin import OURS, begin_in, place_field
from streams.server.http.watched_log import (
    ABOUT,
    AskedEvents,
    Places,
    WatchedLog,
    kinds_for,
    place_of,
    places_in,
    seal_for,
)
from streams.server.readmodel.event_listing import OUTCOMES
from streams.server.readmodel.notifier import until

FILTERS: Final = ("key", "type", "outcome", "correlation")


async def watch_log(request: Request, parts: ServerParts, namespaces: list[str] | None) -> Response:
    """Of these namespaces; None: of all. Raises Problem."""
    model, principal = ready(parts), principal_of(request)
    names = tuple(namespaces or [space.name for space in parts.app.namespaces])
    given = known_params(request.query_params.multi_items(), *FILTERS, *OURS)
    begin = begin_in(request, given, ("now", "beginning"))
    for name in names:
        refuse_new(model, name)
    asked = AskedEvents(names, given.get("key"), given.get("type"), _outcome(given), given.get("correlation"), principal)
    partitions = model.partitions(names) if asked.key is None else [model.partition_of(name, asked.key) for name in names]
    seal = seal_for(parts, principal, names)
    if begin.how == "place":
        opened = begin.place if seal is None else seal.opened(begin.place, ABOUT) or ""
        begin = Begin("place", opened)
        await _check_place(request, parts, partitions, begin, is_told=seal is None)
    only = tuple((name, tuple(it)) for name, it in principal.only.items() if name in names)
    same = ("log", names, asked.key, asked.event_type, asked.outcome, asked.correlation, only)
    shared = partial(parts.shared_streams.of, same, partial(WatchedLog, parts, asked), parts.watching_threads)
    headers = standing(model, ("log",), partitions).headers if seal is None else {}
    return await open_stream(request, parts, shared, begin, headers)


def _outcome(given: Mapping[str, str]) -> str | None:
    outcome = given.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        expected = ", ".join(OUTCOMES)
        raise Problem(422, f"outcome is {outcome[:80]!r}; one of {expected} was expected", field="outcome")
    return outcome


async def _check_place(
    request: Request, parts: ServerParts, partitions: list[tuple[str, int]], begin: Begin, *, is_told: bool
) -> None:
    """Waits for a place that another server was at. Raises a 422 problem for one of other partitions, or of another log.

    `is_told`: where the log ends may be said.
    """
    model, at, field = parts.model, places_in(begin.place), place_field(request)
    text = begin.place[:100] if is_told else "sealed"
    if at.keys() != {*partitions}:
        example = place_of(dict.fromkeys(partitions[:2], 7))
        raise Problem(
            422, f"{field} is {text!r}; the id of an event of this stream was expected, such as {example}, with all of its "
            f"{len(partitions)} partitions", field=field,
        )  # fmt: skip

    kinds = kinds_for(principal_of(request), {name for name, _ in partitions})

    def look() -> bool | None:
        return all(position(model, kinds, each) >= sequence for each, sequence in at.items()) or model.waits is not None or None

    reached = await until(model.notifier, look, CATCH_UP_TIMEOUT)
    ready(parts)
    if reached is None and model.lag(["log"], [*at]) == 0 and not model.faults:
        end = place_of({each: model.log_position(each) for each in partitions}) if is_told else "an earlier place"
        raise Problem(
            422, f"{field} is {text!r}, and the log ends at {end}: it is of another log. Begin without it", field=field,
            kind="other-log",
        )  # fmt: skip
    _refuse_left_out(parts, at, field, text)


def _refuse_left_out(parts: ServerParts, at: Places, field: str, text: str) -> None:
    if any(at[partition] < sequence for partition, sequence in parts.model.left_out([*at]).items()):
        raise Problem(
            422, f"{field} is {text!r}; events behind it are not kept here any more, by the setting history. Begin without it",
            field=field,
        )  # fmt: skip
