"""An event that is ready to leave: checked and encoded once, whether it is published at once or after all of a file was checked."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import msgspec

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.attributes import attributes
from streams.engine.event_handlers import MOST_AHEAD
from streams.engine.readable import shortened
from streams.engine.records import Headers
from streams.errors import InvalidEvent

ASKED_AT_ONCE = 64
RANDOM: list[str] = []
"""Digits of ids that nobody has yet. Threads may share it; a process that is forked has none of its parent's."""
os.register_at_fork(after_in_child=RANDOM.clear)


class PreparedEvent(msgspec.Struct, frozen=True):
    """`value` and `attributes` as a record holds them. Without a time of its own it gets that of its publication."""

    event_class: type[EventData]
    key: str
    id: str
    value: bytes
    attributes: Headers
    time: datetime | None = None

    @property
    def event_type(self) -> str:
        return self.event_class.event_type


def encode(codec: AvroCodec, data: EventData, max_bytes: int) -> bytes:
    """Raises InvalidEvent for a field or key that is wrong, or if the event is too large."""
    value = codec.encode(data)
    refuse_larger(data, value, max_bytes)
    return value


def refuse_larger(data: EventData, value: bytes, max_bytes: int) -> None:
    """Raises InvalidEvent if the event, encoded as `value`, is too large."""
    if len(value) > max_bytes:
        raise InvalidEvent(
            f"{data.event_type} of {shortened(data.key, 100)!r} holds {len(value)} bytes; an event may hold {max_bytes} "
            "(RETOLD_MAX_EVENT_BYTES)"
        )


def new_id() -> str:
    """A random UUID as `str(uuid.uuid4())` gives it: each time that the system is asked for some, other threads have a turn."""
    try:
        it = RANDOM.pop()
    except IndexError:
        digits = os.urandom(16 * ASKED_AT_ONCE).hex()
        RANDOM.extend(digits[at : at + 32] for at in range(32, len(digits), 32))
        it = digits[:32]
    return f"{it[:8]}-{it[8:12]}-4{it[13:16]}-{'89ab'[int(it[16], 16) & 3]}{it[17:20]}-{it[20:]}"


def prepare(
    data: EventData,
    value: bytes,
    event_id: str,
    source: str,
    time: datetime | None,
    expected_version: int | None = None,
    traceparent: str | None = None,
) -> PreparedEvent:
    """`value` is what `encode` gave for `data`. Raises InvalidEvent naming the attribute that is wrong."""
    headers = attributes(event_id, source, time, expected_version, traceparent)
    refuse_ahead(time)
    return PreparedEvent(type(data), data.key, event_id, value, headers, time)


def refuse_ahead(time: datetime | None) -> None:
    """Raises InvalidEvent for a time, with a zone, that is more than a day ahead of this machine's clock.

    An event has happened. One of the year 9999 would fire what its key has scheduled for thousands of years.
    """
    if time is not None and time - (now := datetime.now(UTC)) > timedelta(microseconds=MOST_AHEAD):
        raise InvalidEvent(
            f"the time of an event is {time.isoformat()[:40]}, more than a day ahead of the clock here, which is at "
            f"{now.isoformat(timespec='seconds')}; expected the time at which it happened. A handler can schedule what is to come",
            "time",
        )
