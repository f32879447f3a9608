"""A projection: a read-only table folded from accepted events of any namespace, under any key. It acts on nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from streams.data import EventData, Record
from streams.errors import BadName, DuplicateHandler
from streams.event import Event
from streams.query.declared_indexes import Declared, indexes_of

R = TypeVar("R", bound=Record)
D = TypeVar("D", bound=EventData)
Fold = Callable[[R | None, Event[D]], R | None]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Projection(Generic[R]):
    """A read-only table, folded from accepted events of any namespace under any key: counts, sums, lists.

    A server keeps it in a file, and folds it from the event logs again when its code has changed. It emits nothing and calls
    nothing.

    Args:
        name: A lower-case letter, then at most 62 lower-case letters, digits, `-` and `_`. No other table has it.
        row: The generated class of its rows.
        indexes: The fields by which a server finds and sorts rows soon, as for a Namespace.

    Raises:
        BadName: `name` is not a name.
        DefinitionError: An index is by a field that the rows do not have, or that holds more than one value.

    """

    def __init__(self, name: str, row: type[R], indexes: Declared = ()) -> None:
        if not NAME.fullmatch(name):
            raise BadName(f"the projection {name!r} is not a name: lower-case letters, digits, - and _, a letter first")
        self.name, self.row_type = name, row
        self.indexes = indexes_of(name, row, indexes)
        self.folds_by: dict[type[EventData], tuple[Callable[[Any], str], Callable[[Any, Any], R | None]]] = {}

    def folds(self, data: type[D], *, key: Callable[[Event[D]], str]) -> Callable[[Fold[R, D]], Fold[R, D]]:
        """Make a function the fold of an event: `@orders_per_day.folds(OrderPlace, key=lambda event: ...)`.

        A fold is a pure function from the row (None: there is no row) and the event to the new row (None: no row any more).

        Args:
            data: The class of the event, of any namespace of the application.
            key: A pure function from the event to the key of the row that it changes: a text.

        Returns:
            The decorator. It returns the function as it is.

        Raises:
            DuplicateHandler: This projection folds the event already.

        """

        def register(function: Fold[R, D]) -> Fold[R, D]:
            if data in self.folds_by:
                raise DuplicateHandler(f"the projection {self.name} folds {data.event_type} already")
            self.folds_by[data] = (key, function)
            return function

        return register
