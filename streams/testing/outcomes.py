"""What a World tells of what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from streams.data import EventData, Record
from streams.engine.changes import Changes, Handled
from streams.engine.records import ACCEPTED, InboxRecord
from streams.outcome import Emission


@dataclass(frozen=True)
class Result:
    """What became of one event: `emitted` is what followed at once, then what was scheduled, then a gateway's answer.

    `outcome` is accepted, rejected, parked, quarantined, duplicate or blocked; a duplicate gets the first answer of
    its id again. `row` and `version` are those of the event's key afterwards.
    """

    outcome: str
    accepted: bool
    reason: str | None
    row: Record | None
    emitted: list[Emission]
    version: int


class Unhandled(NamedTuple):
    """An event that was set aside. `data` and `key` are None for a quarantined one: nobody could use it."""

    data: EventData | None
    key: str | None
    reason: str
    detail: str
    value: bytes


class FailedCall(NamedTuple):
    """A gateway's request that got no answer that counts: its call raised, or answered what it may not."""

    data: EventData
    reason: str


class Step(NamedTuple):
    """One record as it was handled, and what came of it: enough to do it again elsewhere and compare."""

    namespace: str
    now: int
    record: InboxRecord
    changes: Changes


def outcome_of(handled: Handled) -> tuple[str, bool, str | None]:
    """Outcome, whether it is accepted, and the reason, as a Result tells them."""
    first = handled.outcome
    if handled.duplicate:
        return "duplicate", first == ACCEPTED, f"an event of this id was {first} before"
    return first, first == ACCEPTED, handled.reason
