"""A cache of one result, or of the error, for a short time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedCache(Generic[T]):
    """Keeps what `look` returned or raised for `seconds` after it ended, so callers of a slow `look` share one result."""

    def __init__(self, look: Callable[[], T], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._turn = threading.Lock()
        self._until = 0.0
        self._found: list[T] = []
        self._error: Exception | None = None

    def get(self) -> T:
        """The cached result. Blocks as long as `look` does, and raises what it raises."""
        with self._turn:
            if time.monotonic() >= self._until:
                self._found, self._error = [], None
                try:
                    self._found = [self._look()]
                except Exception as error:  # noqa: BLE001 - whatever it is, it is raised for every caller
                    self._error = error
                self._until = time.monotonic() + self._seconds
            if self._error is not None:
                raise self._error.with_traceback(None)
            return self._found[0]
