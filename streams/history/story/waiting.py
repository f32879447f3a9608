"""What has not been handled yet, as a story shows it: timers, calls of gateways, and records that are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from streams.data import EventData
from streams.history.recorded_event import Place, RecordedEvent


class WaitingEvent(msgspec.Struct, frozen=True):
    """Something that waits.

    `kind` is timer, call, parked, unanswered (a gateway gave no answer) or quarantined. `at` (µs since 1970) is when a timer is
    due, and for the others since when they wait. `id` is the event's, for a call its request's reference; `where` is
    `user-3@1042` for what is set aside, else empty. `data` is None where it does not read here.
    """

    kind: str
    namespace: str
    key: str
    event_type: str
    id: str
    at: int
    reason: str | None = None
    where: str = ""
    data: EventData | None = None


class Waiting(Protocol):
    """Looks up what waits now."""

    def caused_by(self, reference: str) -> Sequence[WaitingEvent]:
        """Timers that the event of this reference has scheduled, and what it led to that was set aside."""

    def request(self, it: RecordedEvent) -> WaitingEvent | None:
        """The call of a request that has no answer."""

    def of_key(self, place: Place, most: int) -> Sequence[WaitingEvent]:
        """What waits for a row, earliest first."""


class NothingWaits:
    """For a past that knows only what was handled."""

    def caused_by(self, reference: str) -> Sequence[WaitingEvent]:  # noqa: ARG002 - the protocol's
        return ()

    def request(self, it: RecordedEvent) -> WaitingEvent | None:  # noqa: ARG002 - the protocol's
        return None

    def of_key(self, place: Place, most: int) -> Sequence[WaitingEvent]:  # noqa: ARG002 - the protocol's
        return ()
