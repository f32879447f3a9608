"""Several ordered sources as one, by pieces: to sort pieces that are ordered takes a tenth of merging one by one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=Any)
"""Of one order, as numbers are, or tuples that begin with it."""


class _Source(Generic[T]):
    """`ready` is read and not given yet; it is empty only at the end."""

    def __init__(self, pieces: Iterator[list[T]]) -> None:
        self._pieces = pieces
        self.ready: list[T] = next(pieces, [])

    def take(self, until: T) -> list[T]:
        """What lies up to `until`."""
        ready = self.ready
        if ready[-1] <= until:
            self.ready = next(self._pieces, [])
            return ready
        count = bisect_right(ready, until)
        self.ready = ready[count:]
        return ready[:count]


def merged(sources: Iterable[Iterator[list[T]]]) -> Iterator[list[T]]:
    """In the order of all, in pieces. Each source gives ordered pieces that are not empty."""
    left = [source for source in map(_Source, sources) if source.ready]
    while left:
        until = min(source.ready[-1] for source in left)
        piece = [it for source in left for it in source.take(until)]
        piece.sort()
        yield piece
        left = [source for source in left if source.ready]
