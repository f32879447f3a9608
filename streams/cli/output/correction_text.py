"""Corrections as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.readable import shortened
from streams.history.correction.correction_plan import StoredChange

MOST, LONGEST = 3, 60
"""Events that are named of a change, and characters of each name."""


def changes_text(change: StoredChange) -> str:
    """What a correction changes: `takes out place-1@order-0:3`."""
    parts = [
        (word, names)
        for word, names in (
            ("takes out", [*change.remove]), ("replaces", [*change.replace]), ("puts in", [it.id for it in change.insert]),
            ("decides again", [*change.again]),
        )
        if names
    ]  # fmt: skip
    return "; ".join(f"{word} {first_of(names)}" for word, names in parts)


def first_of(names: Sequence[str]) -> str:
    """The first few of them."""
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return ", ".join(shortened(name, LONGEST) for name in names[:MOST]) + more
