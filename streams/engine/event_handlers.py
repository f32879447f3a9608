"""How a namespace's events are handled, and within which limits. The parts of the engine get these, and not the engine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from streams.app import App
from streams.data import EventData, Record, namespace_of
from streams.engine.duplicates import DEFAULT_WINDOW
from streams.engine.readable import location
from streams.errors import DefinitionError
from streams.event import Event
from streams.outcome import Outcome

MOST_AHEAD: Final = 86_400_000_000
"""How far, in µs, clocks may be apart: the time of an event is no further ahead, or it is wrong."""


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; `window` in log records of a partition.

    `ahead`: how far, in µs, an event's time may be ahead of the clock and still fire all timers of its key that are due before
    it. None: however far, as where the clock is made up.
    """

    event_bytes: int = 1024 * 1024
    row_bytes: int = 1024 * 1024
    window: int = DEFAULT_WINDOW
    ahead: int | None = None


@dataclass(frozen=True)
class Inbox:
    """The inbox that records come from. `partition_of` returns the partition of a key; None: there is one partition."""

    topic: str
    topic_id: str = ""
    partition_of: Callable[[bytes], int] | None = None


@dataclass(frozen=True)
class EventHandler:
    """How one event is handled. Without a `function` it has a gateway: it is accepted, and answered by one of `answers`."""

    event_type: str
    function: Callable[[Any, Event[Any]], Outcome[Any]] | None
    emits: frozenset[type[EventData]] = frozenset()
    answers: tuple[type[EventData], ...] = ()


class EventHandlers:
    """The handlers of one namespace, by event. `source` is the source of its emissions."""

    def __init__(self, app: App, namespace: str) -> None:
        space = app.namespace(namespace)
        self.application, self.namespace = app.name, space.name
        self.row_type: type[Record] = space.row_type
        self.generation = space.generation
        self.source = f"retold/{app.name}/{space.name}"
        self.by_event = {
            data: EventHandler(data.event_type, function, frozenset(space.emits[data]))
            for data, function in space.handlers.items()
        }
        for gateway in app.gateways:
            if namespace_of(gateway.data.event_type) == space.name:
                self.by_event[gateway.data] = EventHandler(gateway.data.event_type, None, answers=tuple(gateway.answers))

    def decide(self, handler: EventHandler, row: Record | None, event: Event[Any]) -> Outcome[Any]:
        """The handler's outcome, with its row not frozen yet. Raises Rejected, or whatever the handler raised."""
        if handler.function is None:
            return Outcome(row)
        outcome = handler.function(row, event)
        if type(outcome) is not Outcome:
            raise DefinitionError(
                f"the handler of {handler.event_type} returned {type(outcome).__name__}; expected Outcome(row, emit=[…]). It is "
                f"at {_location(handler.function)}"
            )
        if outcome.row is not None and type(outcome.row) is not self.row_type:
            raise DefinitionError(
                f"the handler of {handler.event_type} gave a row of {type(outcome.row).__name__}; "
                f"the rows of {self.namespace} are {self.row_type.__name__}. It is at {_location(handler.function)}"
            )
        return outcome


def _location(function: Callable[..., Any]) -> str:
    """Where a handler is defined: its first line, that of its decorator."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return function.__module__ if code is None else location(function.__module__, code.co_filename, code.co_firstlineno)
