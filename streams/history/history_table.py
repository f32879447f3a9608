"""A table of the past, for a program: the rows that can be told, and why the others cannot."""

from __future__ import annotations

import warnings
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import TypeVar, cast

from streams.data import Record
from streams.errors import RowsLeftOut
from streams.history.past_tables import PastTable
from streams.view import Table

R = TypeVar("R", bound=Record)
CALLER = 3
"""Frames from the warning to the line that reads the table."""


class HistoryTable(Table[R]):
    """The rows of a namespace as they were: `table["o1"]` folds that row alone; who reads all has them folded together, once.

    A row cannot be told of which an event was erased, or whose handler now rejects, or fails at, an event that was accepted. If it
    is asked for alone, HistoryError is raised. In a loop, and in `len`, `items`, `values` and `where`, it is left out with a
    RowsLeftOut warning.

    Args:
        rows: The rows of the past. A History makes this.
        row_type: The class of the rows.

    """

    def __init__(self, rows: PastTable, row_type: type[R]) -> None:
        super().__init__(cast("Mapping[str, R]", rows), row_type)
        self._past = rows

    @property
    def untold(self) -> Mapping[str, str]:
        """By key, the rows that cannot be told, with a sentence that says why. Empty: the table is whole."""
        return self._past.untold

    def _told(self) -> Mapping[str, R]:
        if untold := self._past.untold:
            why = next(iter(untold.values()))
            rows = "one row is" if len(untold) == 1 else f"{len(untold):,} rows are"
            text = f"{rows} left out of {self._past.namespace}, which cannot be told; `untold` has all. First: {why}"
            warnings.warn(text, RowsLeftOut, CALLER)
        return cast("Mapping[str, R]", self._past.told)

    def where(self, **conditions: object) -> dict[str, R]:
        """As `Table.where`, of the rows that can be told.

        Args:
            conditions: Values by the names of fields, with operators.

        Raises:
            InvalidQuery: The rows have no such field, the field has no such operator, or the value is of another type.

        """
        return Table(self._told(), self._row_type).where(**conditions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._told())

    def __len__(self) -> int:
        return len(self._told())

    def items(self) -> ItemsView[str, R]:
        """Keys and rows, of the rows that can be told."""
        return self._told().items()

    def values(self) -> ValuesView[R]:
        """The rows that can be told."""
        return self._told().values()
