"""Answers: JSON of rows and events, the position up to which they are true, and how far behind that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from streams.server.http.parts import Parts
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.bell import until
from streams.server.readmodel.followed import Followed, Place
from streams.view import Table

POSITION = re.compile(r"([a-z][a-z0-9_]{0,62})-(\d{1,6}):(\d{1,18})")
SHOWN = 100
"""Positions in a header; an answer about more partitions has them in its body alone."""
STOPS = "this server is stopping: ask another one, or this one when it is there again"
PATIENCE = 5.0
"""s for which an answer waits until it is true at `_min_position`."""


def to_json(value: Any) -> bytes:
    """Times as ISO 8601, bytes as base64, records and mappings as objects."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Table):
        return {key: value.get(key) for key in value}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


@dataclass(frozen=True)
class Standing:
    """Up to where an answer is true: in these places, by what was read of these kinds of topics (table, log)."""

    positions: Mapping[Place, int]
    lag: int

    @property
    def texts(self) -> list[str]:
        """`user-3:977`: the partition 3 of user, up to the sequence 977."""
        return [f"{namespace}-{number}:{sequence}" for (namespace, number), sequence in self.positions.items()]

    @property
    def headers(self) -> dict[str, str]:
        texts = self.texts
        shown = {"Retold-Position": ", ".join(texts)} if 0 < len(texts) <= SHOWN else {}
        return shown | {"Retold-Lag": str(self.lag)}


def standing(followed: Followed, kinds: Sequence[str], places: Sequence[Place]) -> Standing:
    return Standing({place: position(followed, kinds, place) for place in places}, followed.lag(kinds, places))


def position(followed: Followed, kinds: Iterable[str], place: Place) -> int:
    """The smallest of what was read."""
    reached = {"table": followed.table_position, "log": followed.log_position}
    return min(reached[kind](place) for kind in kinds)


def ready(parts: Parts) -> Followed:
    """Raises a 503 problem as long as there is nothing to answer from."""
    _check(parts.followed)
    return parts.followed


def _check(followed: Followed) -> None:
    if followed.waits is not None:
        raise Problem(503, followed.waits, headers=RETRY_AFTER)


async def at_least(request: Request, followed: Followed, kinds: Sequence[str]) -> None:
    """Waits for `_min_position` (such as `user-3:977`; several with commas), so that who wrote reads what it wrote.

    Raises a 503 problem if it is not reached in 5 s, or before the server ends.
    """
    text = request.query_params.get("_min_position")
    if text is None:
        return
    wanted = [_wanted(followed, part.strip()) for part in text.split(",")]
    reached = await until(
        followed.bell,
        lambda: all(position(followed, kinds, place) >= sequence for place, sequence in wanted) or None,
        PATIENCE,
    )
    if reached is None and followed.bell.ended:
        raise Problem(503, f"{STOPS}; _min_position {text} is not reached", field="_min_position", headers=RETRY_AFTER)
    if reached is None:
        now = ", ".join(f"{place[0]}-{place[1]}:{position(followed, kinds, place)}" for place, _ in wanted)
        raise Problem(
            503, f"_min_position {text} is not reached after {PATIENCE:.0f} s; this server stands at {now}",
            field="_min_position", headers=RETRY_AFTER,
        )  # fmt: skip
    _check(followed)  # all may have begun anew meanwhile


def _wanted(followed: Followed, text: str) -> tuple[Place, int]:
    match = POSITION.fullmatch(text)
    if match is None or (match[1], int(match[2])) not in followed.logs:
        expected = "a position such as user-3:977 of a partition that there is"
        raise Problem(422, f"_min_position is {text[:100]!r}; {expected} was expected", field="_min_position")
    return (match[1], int(match[2])), int(match[3])


def answer(request: Request, body: Any, at: Standing, *, etag: str | None = None) -> Response:
    """200, or 304 if the client has this very answer. Without a version its ETag is of its bytes."""
    content = to_json(body)
    tag = etag or f'W/"{blake2b(content, digest_size=9).hexdigest()}"'
    headers = {**at.headers, "ETag": tag, "Cache-Control": "no-cache"}
    known = [one.strip().removeprefix("W/") for one in ",".join(request.headers.getlist("if-none-match")).split(",")]
    if "*" in known or tag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")
