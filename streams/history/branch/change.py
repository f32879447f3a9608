"""A change to the past: root events that are put in, taken out or replaced, and events that newer code decides again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from streams.data import EventData
from streams.history.recorded_event import OrderKey


class InsertedEvent(msgspec.Struct, frozen=True):
    """An event to put in, as if it had been published.

    Attributes:
        data: The event's data.
        time: When it happened, with a zone. It stands before its key's first later event; if there is none, before the first
            later root event that stands behind all of its key's; else at the end.
        id: Its id; None: one is derived from the data and the time.
        after: The name of an event that it is to stand right behind instead.
        source: Who published it.

    """

    data: EventData
    time: datetime
    id: str | None = None
    after: str | None = None
    source: str = ""


class Change(msgspec.Struct, frozen=True):
    """What a branch has otherwise than the past that it is a branch of.

    Events are named by their references. Where several have one, since an id was handled twice, the position stands behind it:
    `signup-7@user-3:12`.

    Attributes:
        insert: Events to put in.
        remove: Root events to take out, with all that they led to.
        replace: Data by the root event that it takes the place of. The key stays the same.
        places: Where an event that is put in stands, by its reference: as it was found when it was put in first, for a correction
            of a past that has grown since.
        end: Where that past ended. Timers that were overdue then fire there, and not behind all that has come since.
        ends: Where it ended each time that it was corrected before: what was overdue then fires at the first of these.
        gone: References of events that a correction had put in, which the past never had, and another one took out: what they have
            led to meanwhile is in the past, and goes with them.
        again: Events to decide again, though nothing before them is otherwise: newer code decides them otherwise than was
            recorded. Where it refuses one that was accepted, its row is as it was before that event, as `retold rebuild` has it.
        assumed: The data of requests to gateways, by the request's reference, for which the answer counts that was recorded to
            other data. With any other data it is another call again.

    """

    insert: Sequence[InsertedEvent] = ()
    remove: frozenset[str] = frozenset()
    replace: Mapping[str, EventData] = {}
    places: Mapping[str, OrderKey] = {}
    end: OrderKey | None = None
    ends: Sequence[OrderKey] = ()
    gone: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    assumed: Mapping[str, EventData] = {}
