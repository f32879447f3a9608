"""A row of a file that was read: of its headers is taken what finds its effects, and no event is made of it yet."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.data import EventData
from streams.history.recorded_event import RecordedEvent


class ReadEvent(msgspec.Struct, gc=False, eq=False):
    """A row, the texts of its headers, and what was made of it since.

    Attributes:
        row: The row, as stored_events.py names its columns, with the number of its effects.
        source: Who published it.
        at: When it happened.
        cause: The id of the event that led to it; None for a root.
        cause_source: The source of that one, where its id alone does not identify it.
        first: The id of the first event of its chain.
        data: Its data, if it is known without decoding them.
        made: The event, if it was made.

    """

    row: tuple[Any, ...]
    source: bytes | None
    at: bytes | None
    cause: str | None
    cause_source: bytes | None
    first: bytes | None
    data: EventData | None = None
    made: RecordedEvent | None = None
