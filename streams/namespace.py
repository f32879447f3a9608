"""A namespace: a group of events, the one handler of each, and the row they fold into."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from streams.data import EventData, Record, namespace_of
from streams.errors import BadName, DefinitionError, DuplicateHandler
from streams.event import Event
from streams.outcome import Outcome
from streams.query.declared_indexes import Declared, indexes_of

R = TypeVar("R", bound=Record)
D = TypeVar("D", bound=EventData)
Handler = Callable[[R | None, Event[D]], Outcome[R]]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
FIRST, LAST = 1, 999_999
"""Generations of rows."""
EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}")


def location_of(function: Callable[..., Any]) -> str:
    """`file:line` of a function, for messages."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


class Namespace(Generic[R]):
    """A group of events, the one handler of each, and the row that they fold into.

    A namespace has one inbox, one table and one event log in Kafka, and one consumer group. Handlers are pure functions from
    the row of the event's key (None: there is no row) and the event to an Outcome; they raise Rejected to say no.

    Args:
        name: A lower-case letter, then at most 62 lower-case letters, digits and `_`. Its events are `<name>.<something>`.
        row: The generated class of the table's rows.
        indexes: The fields by which a server finds and sorts rows soon, such as `["customer", ("status", "-placed")]`: each is one
            field, or several, of which one with - before it is falling. The key always ends an index.
        generation: Of the rows: a whole number from 1 on. Give it the next number when handlers are to make other rows of what was
            handled already; `retold rebuild` builds those rows, and workers of this code go on with them.

    Raises:
        BadName: `name` is not a name.
        DefinitionError: An index is by a field that the rows do not have, or that holds more than one value; or the generation is
            no such number.

    """

    def __init__(self, name: str, row: type[R], indexes: Declared = (), generation: int = FIRST) -> None:
        if not NAME.fullmatch(name):
            raise BadName(
                f"the namespace {name!r} is not a name: lower-case letters, digits and _, at most 63, a letter first"
            )
        if type(generation) is not int or not FIRST <= generation <= LAST:
            raise DefinitionError(
                f"the rows of the namespace {name!r} are of the generation {generation!r}; a whole number from {FIRST} to {LAST:,} "
                "was expected"
            )
        self.name, self.row_type, self.generation = name, row, generation
        self.indexes = indexes_of(name, row, indexes)
        self.handlers: dict[type[EventData], Callable[[Any, Any], Outcome[R]]] = {}
        self.emits: dict[type[EventData], tuple[type[EventData], ...]] = {}

    def handles(
        self, data: type[D], *, emits: Sequence[type[EventData]] = ()
    ) -> Callable[[Handler[R, D]], Handler[R, D]]:
        """Make a function the handler of an event: `@user.handles(UserSignup, emits=[EmailSend])`.

        Args:
            data: The class of the event, one of this namespace.
            emits: The classes of all events that the handler may emit, at once or scheduled, also with a rejection.

        Returns:
            The decorator. It returns the function as it is, so a test can call it.

        Raises:
            BadName: The event belongs to another namespace, or is not named `<namespace>.<name>`.
            DefinitionError: `data` is no class of an event.
            DuplicateHandler: The event has a handler already.

        """
        self._check_type(data)

        def register(function: Handler[R, D]) -> Handler[R, D]:
            if (first := self.handlers.get(data)) is not None:
                raise DuplicateHandler(
                    f"{data.event_type} has a handler already, at {location_of(first)}; the second one is at "
                    f"{location_of(function)}. An event is handled in one way: remove one, or give one a new event"
                )
            self.handlers[data] = function
            self.emits[data] = tuple(emits)
            return function

        return register

    def _check_type(self, data: type[EventData]) -> None:
        name = getattr(data, "event_type", None)
        if name is None:
            raise DefinitionError(f"{data!r} is no event: expected a class that `retold schemas generate` wrote")
        if not EVENT_TYPE.fullmatch(name):
            raise BadName(f"the event {name!r} is not named <namespace>.<name> in lower-case letters, digits and _")
        if namespace_of(name) != self.name:
            raise BadName(f"{name} belongs to the namespace {namespace_of(name)!r}, not to {self.name!r}")
