"""The two times that the past is asked for, and the token of both: with it, an answer stays the same."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from streams.engine.times import to_micros
from streams.errors import NotKnownYet
from streams.eventfiles import numbers
from streams.history.cut_past import Cut, moment_text

BETWEEN = "/"
"""Stands in a token between the two times."""


def cut_until(frontier: int | None, asked: Cut) -> Cut:
    """The cut that is told: as known at the frontier (µs) if nothing else is asked for, and never as known later.

    Raises NotKnownYet for what is behind the frontier: it could still change.
    """
    if frontier is None:
        raise NotKnownYet("nothing is known for ever yet: what was recorded may still be joined by more. Ask again in a moment")
    known = frontier if asked.known is None else asked.known
    if known > frontier:
        raise NotKnownYet(
            f"what was known at {moment_text(known)} is not known yet: what is known for ever here goes to "
            f"{moment_text(frontier)}, and what was recorded later may still be joined by more. Ask for that time, or again "
            "a little later"
        )
    return Cut(asked.as_of, known)


def token_of(cut: Cut) -> str:
    """Such as `2026-03-01T12:00:00Z/2026-03-02T08:00:00Z`: as of the one, as known at the other; the first may be missing."""
    return BETWEEN.join("" if at is None else moment_text(at) for at in (cut.as_of, cut.known))


def cut_of(text: str) -> Cut:
    """What a token says; or a single time, which is what it is as of. Raises ValueError."""
    as_of, between, known = text.partition(BETWEEN)
    if between:
        return Cut(moment_of(as_of) if as_of else None, moment_of(known))
    return Cut(moment_of(text))


def moment_of(text: str) -> int:
    """A time with a zone in µs since 1970. Raises ValueError."""
    try:
        return to_micros(numbers.time(text).astimezone(UTC))
    except OverflowError as error:  # one of the year 0 or 10000 in UTC
        raise ValueError(text) from error


def told(cut: Cut) -> str:
    """For people."""
    known = f"as known at {moment_text(cut.known or 0)}"
    return known if cut.as_of is None else f"as of {moment_text(cut.as_of)}, {known}"


def time_members(cut: Cut) -> dict[str, Any]:
    """For programs."""
    as_of, known = (None if at is None else moment_text(at) for at in (cut.as_of, cut.known))
    return {"as_of": as_of, "known": known}
