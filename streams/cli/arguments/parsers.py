"""Numbers and times on a command line. Typer's own refusal names neither the value nor, in our words, what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import typer

from streams.engine.readable import shortened
from streams.eventfiles import numbers
from streams.history.cut_past import Cut
from streams.history.past_times import cut_of

SPAN = re.compile(r"([1-9][0-9]{0,5})([dhms])")
UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
DIGITS = re.compile(r"[0-9]{1,18}")

Given = str | float
"""Typer asks about an option's default too, which is a number already."""


def whole(least: int, most: int | None = None) -> Callable[[Given], int]:
    """For `typer.Option(parser=…)`. It raises BadParameter, to which Typer adds the option's name."""
    expected = f"a whole number of {least} or more" if most is None else f"a whole number from {least} to {most}"

    def read(given: Given) -> int:
        text = str(given)
        number = int(text) if DIGITS.fullmatch(text) else -1
        if not least <= number <= (number if most is None else most):
            raise _refusal(text, expected)
        return number

    return read


def seconds(given: Given) -> float:
    """As `whole`."""
    number = -1.0
    with suppress(ValueError):
        number = numbers.number(str(given))
    if not 0 <= number < math.inf:  # also false for what is not a number
        raise _refusal(str(given), "a number of seconds, 0 or more,")
    return number


def time_with_zone(given: str | datetime) -> datetime:
    """As `whole`."""
    if isinstance(given, datetime):
        return given
    try:
        time = numbers.time(given)
        time.astimezone(UTC)
    except (ValueError, OverflowError):  # one of the year 0 or 10000 in UTC
        raise _refusal(given, "a time with a zone, such as 2026-01-31T12:00:00Z,") from None
    return time


def past_times(given: str | Cut) -> Cut:
    """As `whole`: a time that the past is asked as of, or the two times that an answer about it came with."""
    if isinstance(given, Cut):
        return given
    try:
        return cut_of(given)
    except ValueError:
        raise _refusal(given, "a time with a zone, such as 2026-01-31T12:00:00Z, or the two of an answer") from None


def span(given: str | timedelta) -> timedelta:
    """As `whole`: a number and a unit."""
    if isinstance(given, timedelta):
        return given
    match = SPAN.fullmatch(given)
    if match is None:
        raise _refusal(given, "a span of time, such as 1d, 12h, 30m or 10s,")
    return int(match[1]) * UNITS[match[2]]


def _refusal(text: str, expected: str) -> typer.BadParameter:
    return typer.BadParameter(f"it is {shortened(text, 80)!r}; {expected} was expected.")
