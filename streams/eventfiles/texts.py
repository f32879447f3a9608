"""Texts from outside for messages: on one line, without control characters, and of limited length."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

NAME_SHOWN = 100
"""The most characters of a name from outside in a message."""
NAMES_SHOWN = 20
"""The most names in a message."""
WORDS_SHOWN = 400
"""The most characters of an exception's message."""
PROBLEM_SHOWN = 1_000
"""The most characters of a sentence about a row."""


def cut(text: str, limit: int = NAME_SHOWN) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def plain(text: str, limit: int = PROBLEM_SHOWN) -> str:
    r"""The text, cut, with unprintable characters escaped as in repr: `\n`, `\x1b`, `\u202e`, `\udcff`."""
    shown = cut(text, limit)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def listed(names: Collection[str]) -> str:
    """The first names as `a, b, c`; `none` for none."""
    shown = ", ".join(plain(name, NAME_SHOWN) for name in islice(names, NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"
