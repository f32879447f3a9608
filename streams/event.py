"""An event as its handler meets it."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from streams.data import EventData

D_co = TypeVar("D_co", bound=EventData, covariant=True)


class Event(msgspec.Struct, Generic[D_co], frozen=True):
    """`time` is when it happened (valid time, with a zone); `cause` is the id of the event whose handling emitted this one.

    `correlation` is the id of the root event of the whole chain (its own id for a root event).
    """

    data: D_co
    id: str
    time: datetime
    cause: str | None = None
    correlation: str | None = None

    @property
    def key(self) -> str:
        return self.data.key
