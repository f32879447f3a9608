"""What a handler answers: an outcome, or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from streams.data import EventData, Record

R = TypeVar("R", bound=Record)


class Scheduled(msgspec.Struct, frozen=True):
    """An event to emit later: it enters its namespace at `at` (with a zone) and is kept durably until then."""

    data: EventData
    at: datetime


Emission = EventData | Scheduled


class _Emits(msgspec.Struct, frozen=True, kw_only=True):
    emit: Sequence[Emission] = ()


class Outcome(_Emits, Generic[R], frozen=True):
    """The row from now on (None: there is no row any more) and the events that follow."""

    row: R | None


class Rejected(Exception):
    """Raised by a handler: this event may not happen. The row stays; `emit` still leaves, so that a saga hears "no"."""

    def __init__(self, reason: str, *, emit: Sequence[Emission] = ()) -> None:
        super().__init__(reason)
        self.reason, self.emit = reason, emit


def required(row: R | None, reason: str = "there is no such row", *, emit: Sequence[Emission] = ()) -> R:
    """The row, or a rejection for `reason`."""
    if row is None:
        raise Rejected(reason, emit=emit)
    return row
