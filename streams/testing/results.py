"""The results that a World reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.data import EventData
from streams.engine.changes import Changes, HandledRecord
from streams.engine.records import ACCEPTED, InboxRecord
from streams.outcome import Emission


@dataclass(frozen=True)
class Result:
    """What `World.when` returns: what became of one event.

    Attributes:
        outcome: `accepted`, `rejected`, `parked`, `quarantined`, `duplicate` or `blocked` (its schema or handler is missing).
        accepted: Whether it was accepted; for a duplicate, whether the first event of its id was.
        reason: Why it was not simply accepted; None if it was.
        row: The row of the event's key afterwards, of the namespace's row class; None: there is none. The type checker takes
            it for Any: an event's class does not say of which class its rows are. `world.table(namespace)` has typed rows.
        emitted: What followed at once, then what was scheduled, then a gateway's answer.
        version: The version of that row: the sequence of the last accepted event of its key; 0: there was none.

    """

    outcome: str
    accepted: bool
    reason: str | None
    row: Any
    emitted: list[Emission]
    version: int


class Unhandled(NamedTuple):
    """An event that was set aside: parked or quarantined.

    Attributes:
        data: The event's data; None for a quarantined one.
        key: The key that it blocks; None for a quarantined one, which blocks nobody.
        reason: Why, in a line.
        detail: The traceback, if a handler raised.
        value: The record's bytes.

    """

    data: EventData | None
    key: str | None
    reason: str
    detail: str
    value: bytes


class FailedCall(NamedTuple):
    """A gateway's request without an answer that counts: the call raised, or answered what it may not.

    Attributes:
        data: The request.
        reason: What was raised, as class and message.

    """

    data: EventData
    reason: str


class Step(NamedTuple):
    """One handled record, or the timers that fired by the clock at `fired` (µs), and the changes.

    It is enough to handle it again in another process and compare.
    """

    namespace: str
    now: int
    record: InboxRecord | None
    changes: Changes
    fired: int = 0


def outcome_of(handled: HandledRecord) -> tuple[str, bool, str | None]:
    """Outcome, whether it is accepted, and the reason, as in a Result."""
    first = handled.outcome
    if handled.duplicate:
        return "duplicate", first == ACCEPTED, f"an event of this id was {first} before"
    return first, first == ACCEPTED, handled.reason
