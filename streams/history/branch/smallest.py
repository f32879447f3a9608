"""The smallest part of a list that still shows something, found by taking parts out: Zeller's delta debugging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
WHOLE, INTERRUPTED, OUT_OF_TIME, OUT_OF_TRIES = "whole", "interrupted", "out of time", "out of tries"
"""How a search ended: by itself, so that nothing more can be left out; by Ctrl-C; or by its limits."""


class Search(Generic[T]):
    """`left` is the smallest list so far, at any time.

    `shows_without(part)` says whether it still shows without some of `left`, and takes them out if it does. `in_time` says
    whether it may go on, and `tell` is given how many are left.
    """

    def __init__(
        self,
        items: Sequence[T],
        shows_without: Callable[[Sequence[T]], bool],
        in_time: Callable[[], bool],
        tell: Callable[[int], None],
        most_tries: int,
    ) -> None:
        self.left, self.tries, self.ended = list(items), 0, WHOLE
        self._shows_without, self._in_time, self._tell, self._most = shows_without, in_time, tell, most_tries

    def run(self) -> None:
        """Take out halves, quarters and so on, and in the end single ones, until none of these can be spared."""
        size = max(1, len(self.left) // 2)
        try:
            while True:
                fewer = self._pass(size)
                if fewer is None or (size == 1 and not fewer):
                    return
                size = max(1, min(size, len(self.left)) // 2)
        except KeyboardInterrupt:
            self.ended = INTERRUPTED

    def _pass(self, size: int) -> bool | None:
        """Whether anything could be spared; None: it may not go on."""
        fewer, at = False, 0
        while at < len(self.left):
            if not self._in_time():
                self.ended = OUT_OF_TIME
                return None
            if self.tries >= self._most:
                self.ended = OUT_OF_TRIES
                return None
            self.tries += 1
            part = self.left[at : at + size]
            if self._shows_without(part):
                del self.left[at : at + size]
                fewer = True
                self._tell(len(self.left))
            else:
                at += size
        return fewer
