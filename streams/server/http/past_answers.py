"""`_as_of` and `_known`: the past as of a time, in the answers about rows, projections and views."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from streams.history.cut_past import Cut
from streams.history.past_times import cut_of, moment_of, time_members, token_of
from streams.server.http.answers import AnswerPosition, answer_bytes
from streams.server.http.problems import Problem

T = TypeVar("T")
TIMES = ("_as_of", "_known")
TIMES_HEADER = "Retold-As-Of"
"""The header of both times of an answer. Given as `_as_of`, they give the same answer."""
AHEAD = 60_000_000
"""µs that what is asked for as known may be ahead of this clock: a client's may be fast, and is told to come again."""


def split_times(pairs: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], Cut | None]:
    """The other parameters, and the times that are asked for; None: it is asked as of now. Raises a 422 problem."""
    pairs = list(pairs)
    given: dict[str, str] = {}
    for name, text in pairs:
        if name in TIMES and name in given:
            raise Problem(422, f"the parameter {name!r} is given twice; one value was expected", field=name)
        if name in TIMES:
            given[name] = text
    return [it for it in pairs if it[0] not in TIMES], read_times(given) if given else None


def read_times(given: Mapping[str, str]) -> Cut:
    """Raises a 422 problem."""
    asked = _read("_as_of", given, cut_of) or Cut()
    known = _read("_known", given, moment_of)
    if known is not None and asked.known is not None:
        raise Problem(422, f"_as_of is the {TIMES_HEADER} of an answer and says what was known; without _known", field="_known")
    cut = Cut(asked.as_of, asked.known if known is None else known)
    if cut.known is not None and cut.known > time.time_ns() // 1_000 + AHEAD:
        name = "_as_of" if known is None else "_known"
        raise Problem(422, f"{name} is {given[name][:80]!r}, which is in the future: what is known then cannot be told", field=name)
    return cut


def _read(name: str, given: Mapping[str, str], read: Callable[[str], T]) -> T | None:
    if name not in given:
        return None
    try:
        return read(given[name])
    except ValueError:
        or_token = f", or the {TIMES_HEADER} of an answer" if name == "_as_of" else ""
        raise Problem(
            422, f"{name} is {given[name][:80]!r}; a time with a zone was expected, such as 2026-01-31T12:00:00Z{or_token} (+ in "
            "an address is %2B)", field=name,
        ) from None  # fmt: skip


def past_bytes(
    request: Request, content: bytes, cut: Cut, at: AnswerPosition, *, media_type: str = "application/json",
    more: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """With `more` headers. Nothing in it changes any more: its ETag is a strong one, a hash of its bytes."""
    tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    return answer_bytes(
        request, content, at, etag=tag, media_type=media_type, more={TIMES_HEADER: token_of(cut), **(more or {})}
    )


def nothing_then(sentence: str, held: Mapping[str, Any] | None, cut: Cut, at: AnswerPosition) -> Problem:
    """A 404 of what was not there at that time; `held` had happened by then, and is not told."""
    members = {"held_back": held, **time_members(cut)}
    return Problem(404, sentence, headers={**at.headers, TIMES_HEADER: token_of(cut)}, **members)
