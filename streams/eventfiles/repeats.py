"""Refuses what Python's json takes and JSON does not mean: repeated names, of which the last would win, and NaN."""

from __future__ import annotations

from typing import Any

from streams.errors import InvalidEvent


def no_repeats(pairs: list[tuple[str, Any]], noun: str = "column") -> dict[str, Any]:
    """An `object_pairs_hook` for json.loads. `noun` is what messages call a name. Raises InvalidEvent."""
    values = dict(pairs)
    if len(values) < len(pairs):
        once = set(values)
        for name, _ in pairs:
            if name not in once:
                raise InvalidEvent(f"{noun} {name[:100]!r} is there twice", name[:100])
            once.discard(name)
    return values


def no_constant(word: str) -> None:
    """A `parse_constant` for json.loads, which takes NaN and Infinity. Raises InvalidEvent."""
    raise InvalidEvent(f"{word} is no JSON")
