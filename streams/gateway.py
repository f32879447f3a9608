"""A gateway: the one handler of an event that acts on the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from streams.data import EventData, namespace_of
from streams.errors import DefinitionError
from streams.event import Event

D = TypeVar("D", bound=EventData)


class Gateway(Generic[D]):
    """`call` acts and answers with one of `answers`, which belong to the request's namespace and key.

    It may be called again for one request: `event.reference` is the idempotency key to hand on.
    `undo` is the event that takes the act back. On replay a gateway is silent: its recorded answer is a fact.
    """

    def __init__(
        self,
        data: type[D],
        call: Callable[[Event[D]], Awaitable[EventData]],
        *,
        answers: Sequence[type[EventData]],
        undo: type[EventData] | None = None,
    ) -> None:
        home = namespace_of(data.event_type)
        for answer in answers:
            if namespace_of(answer.event_type) != home:
                raise DefinitionError(
                    f"the gateway of {data.event_type} answers {answer.event_type}, which is outside the namespace "
                    f"{home!r}: the owner of the request handles the answer in the same transaction"
                )
        self.data, self.call, self.answers, self.undo = data, call, tuple(answers), undo
