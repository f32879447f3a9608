"""Texts from outside in messages: on one line, without what a terminal would obey, and no longer than they should be."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

NAME_SHOWN = 100
"""Characters of a name from outside that a message repeats."""
NAMES_SHOWN = 20
"""Names that a message lists."""
PROBLEM_SHOWN = 1_000
"""Characters of a sentence about a row."""


def cut(text: str, limit: int = NAME_SHOWN) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def plain(text: str, limit: int = PROBLEM_SHOWN) -> str:
    r"""Cut, and with what is not printable spelt as repr does it: `\n`, `\x1b`, `\u202e`, `\udcff`."""
    shown = cut(text, limit)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def listed(names: Collection[str]) -> str:
    """`a, b, c`, the first of them; `none` for none."""
    shown = ", ".join(plain(name, NAME_SHOWN) for name in islice(names, NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"
