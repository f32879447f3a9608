"""A gateway: the one handler of an event that acts on the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from streams.data import EventData, namespace_of
from streams.errors import DefinitionError
from streams.event import Event

D = TypeVar("D", bound=EventData)


class Gateway(Generic[D]):
    """The one handler of an event that acts on the outside world, and answers with an event.

    The call is made at least once for each request, and the answer is handled exactly once. Hand `event.reference` on as the
    idempotency key: it is the same for each try. A "no" is an answer; what may pass (no connection, a 503) is an exception,
    and the call is made again, `gateway_tries` times at most. Then the request is parked, with its key. When the log is folded
    again, no gateway is called: the recorded answer is a fact.

    Args:
        data: The class of the event that it handles, the request.
        call: An async function from the request to its answer, which has the request's key.
        answers: The classes of all events that it may answer with. They belong to the request's namespace.
        undo: The class of the event that takes the act back, if there is one.
        undone_by: A pure function from a request and its answer to that event's data, or None if there is nothing to take back,
            as after a "no". With it, `retold correct apply --calls undo` publishes the event by itself.

    Raises:
        DefinitionError: An answer belongs to another namespace, or `undone_by` has no `undo`.

    """

    def __init__(
        self,
        data: type[D],
        call: Callable[[Event[D]], Awaitable[EventData]],
        *,
        answers: Sequence[type[EventData]],
        undo: type[EventData] | None = None,
        undone_by: Callable[[Event[D], Any], EventData | None] | None = None,
    ) -> None:
        home = namespace_of(data.event_type)
        for answer in answers:
            if namespace_of(answer.event_type) != home:
                raise DefinitionError(
                    f"the gateway of {data.event_type} answers {answer.event_type}, which is outside the namespace "
                    f"{home!r}: the owner of the request handles the answer in the same transaction"
                )
        if undone_by is not None and undo is None:
            raise DefinitionError(f"the gateway of {data.event_type} has `undone_by`, and no `undo`, the class of what that makes")
        self.data, self.call, self.answers, self.undo, self.undone_by = data, call, tuple(answers), undo, undone_by
