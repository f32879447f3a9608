"""The attributes that a publisher sets, checked before the event is sent: afterwards a worker can only quarantine it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from streams.engine.envelope import TEXT_LIMIT, checked_time
from streams.engine.records import Headers
from streams.errors import InvalidEvent


def attributes(event_id: str, source: str, time: datetime | None, expected_version: int | None = None) -> Headers:
    """The attributes as headers that `EnvelopeReader` reads; none for a time that is not known yet.

    Raises InvalidEvent naming the CloudEvents attribute.
    """
    headers: Headers = [("ce_source", _text("source", source)), ("ce_id", _text("id", event_id))]
    if time is not None:
        headers.append(("ce_time", time_text(time)))
    if expected_version is not None:
        headers.append(("ce_expectedversion", _version(expected_version)))
    return headers


def _text(name: str, value: str) -> bytes:
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(f"the {name} of an event is {value[:100]!r}, which UTF-8 cannot write", name) from None
    if not 0 < len(encoded) <= TEXT_LIMIT:
        raise InvalidEvent(f"the {name} of an event is {value[:100]!r}; expected 1 to {TEXT_LIMIT} bytes", name)
    return encoded


def time_text(time: datetime) -> bytes:
    """A time as a header has it. Raises InvalidEvent for one without a zone, or beyond the years 1 to 9999 in UTC."""
    checked_time("the time of an event is", time, ": is it UTC? Then say so")
    return datetime.isoformat(time).encode()  # a subclass may write what nobody reads


def _version(version: Any) -> bytes:
    if type(version) is int and 0 <= version < 10**18:
        return b"%d" % version
    raise InvalidEvent(
        f"the expected version is {version!r:.80}; expected a whole number from 0 up (0: there is no row)", "expectedversion"
    )
