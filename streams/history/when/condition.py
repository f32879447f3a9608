"""What is asked of a row, as a text or as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from streams.data import Record
from streams.history.when.predicate import PredicateFailed


class Condition(Protocol):
    """`text` is how people call it."""

    text: str

    def holds(self, row: Record | None) -> bool:
        """Whether it is so for a row. Raises PredicateFailed."""


class FunctionCondition:
    """A function of a row. Where there is no row it does not hold."""

    def __init__(self, function: Callable[[Any], bool]) -> None:
        self._function = function
        self.text = getattr(function, "__name__", repr(function))

    def holds(self, row: Record | None) -> bool:
        try:
            return row is not None and bool(self._function(row))
        except Exception as error:
            raise PredicateFailed(f"{type(error).__name__}: {error!s:.200}") from error
