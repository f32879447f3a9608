"""What a handler answers: an outcome, or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from streams.data import EventData, Record

R = TypeVar("R", bound=Record)


class Scheduled(msgspec.Struct, frozen=True):
    """An event to emit later, a timer: `Scheduled(OrderExpire(order=event.key), at=event.time + PAY_WITHIN)`.

    It is kept in Kafka until then, and cannot be taken back. Its own handler finds out whether there is still something to do.

    Attributes:
        data: The event's data.
        at: When it is emitted, with a zone; this becomes its `event.time`. Before an event of the handler's key at a
            later time it is handled, else when the clock says so and nothing waits in the inbox.

    """

    data: EventData
    at: datetime


Emission = EventData | Scheduled


class _Emits(msgspec.Struct, frozen=True, kw_only=True):
    emit: Sequence[Emission] = ()


class Outcome(_Emits, Generic[R], frozen=True):
    """What a handler decides: `Outcome(row, emit=[...])`. The row and the events become true together, or not at all.

    Attributes:
        row: The row from now on; None: there is no row any more.
        emit: The events that follow, in this order: data to emit at once, or Scheduled.

    """

    row: R | None


class Rejected(Exception):
    """Raised by a handler: this event may not happen. The row stays as it is, and the event log keeps event and reason.

    Args:
        reason: Why, for whoever published the event; the first 1,000 characters are kept.
        emit: The events that follow all the same, so that a saga hears of the "no".

    """

    def __init__(self, reason: str, *, emit: Sequence[Emission] = ()) -> None:
        super().__init__(reason)
        self.reason, self.emit = reason, emit


def required(row: R | None, reason: str = "there is no such row", *, emit: Sequence[Emission] = ()) -> R:
    """The row, if there is one; for handlers of events that need one.

    Args:
        row: What the handler was given.
        reason: Why the event is rejected if there is no row.
        emit: The events that follow the rejection.

    Raises:
        Rejected: `row` is None.

    """
    if row is None:
        raise Rejected(reason, emit=emit)
    return row
