"""A projection: a read-only table folded from accepted events of any namespace, under any key. It acts on nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from streams.data import EventData, Record
from streams.errors import BadName, DuplicateHandler
from streams.event import Event

R = TypeVar("R", bound=Record)
D = TypeVar("D", bound=EventData)
Fold = Callable[[R | None, Event[D]], R | None]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Projection(Generic[R]):
    def __init__(self, name: str, row: type[R]) -> None:
        if not NAME.fullmatch(name):
            raise BadName(f"the projection {name!r} is not a name: lower-case letters, digits, - and _, a letter first")
        self.name, self.row_type = name, row
        self.folds_by: dict[type[EventData], tuple[Callable[[Any], str], Callable[[Any, Any], R | None]]] = {}

    def folds(self, data: type[D], *, key: Callable[[Event[D]], str]) -> Callable[[Fold[R, D]], Fold[R, D]]:
        """Bind a fold to an event; `key` names the row that it changes. None from the fold removes the row."""

        def register(function: Fold[R, D]) -> Fold[R, D]:
            if data in self.folds_by:
                raise DuplicateHandler(f"the projection {self.name} folds {data.event_type} already")
            self.folds_by[data] = (key, function)
            return function

        return register
