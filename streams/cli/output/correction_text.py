"""Corrections as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from streams.cli.output.screen import plural
from streams.engine.readable import shortened
from streams.history.correction.correction_calls import OPEN, CorrectionCall
from streams.history.correction.correction_plan import StoredChange
from streams.history.difference.difference import NOT

MOST, LONGEST = 3, 60
"""Events that are named of a change, and characters of each name."""
NO_NAMES: Mapping[str, str] = {}


def changes_text(change: StoredChange, put_in: Mapping[str, str] = NO_NAMES) -> str:
    """What a correction changes: `takes out order-0:3`, by positions as `retold story` takes them.

    `put_in` has the ids of what corrections have put in, which has no position, by its reference.
    """

    def named(names: Iterable[str]) -> list[str]:
        return [put_in.get(name, name) for name in places_of(names)]

    parts = [
        (word, names)
        for word, names in (
            ("takes out", named(change.remove)), ("replaces", named(change.replace)),
            ("puts in", [it.id for it in change.insert]), ("decides again", places_of(change.again)),
        )
        if names
    ]  # fmt: skip
    kept = [f"keeps {plural(len(change.assumed), 'answer')}"] if change.assumed else []
    return "; ".join([*(f"{word} {first_of(names)}" for word, names in parts), *kept])


def what_to_do_about(calls: Iterable[CorrectionCall]) -> Iterator[str]:
    """How open calls are seen to: by the events that take them back, of each correction, or by a person."""
    there = [it for it in calls if it.state == OPEN]
    undone: dict[str, int] = Counter(it.correction for it in there if it.undo and it.kind == NOT)
    for correction, count in undone.items():
        it = "it" if count == 1 else "them"
        yield (
            f"{plural(count, 'call')} can be taken back by what `undo` names. To publish {it}: "
            f"retold correct apply {correction} --calls undo"
        )
    if there:
        yield 'What a person has seen to: retold correct close REQUEST --why "what was done"'


def places_of(names: Iterable[str]) -> list[str]:
    """Each behind the reference that it has in a change; what has no position is named by that."""
    return [name.rpartition("@")[2] for name in names]


def first_of(names: Sequence[str]) -> str:
    """The first few of them."""
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return ", ".join(shortened(name, LONGEST) for name in names[:MOST]) + more
