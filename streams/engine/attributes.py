"""The attributes that a publisher sets, checked before the event is sent: afterwards a worker can only quarantine it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from streams.engine.envelope import TEXT_LIMIT
from streams.engine.readable import shortened
from streams.engine.records import Header, Headers
from streams.engine.times import checked_time, iso_text
from streams.errors import InvalidEvent
from streams.event import is_workers

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Of W3C's Trace Context, in the version that there is."""


def attributes(
    event_id: str, source: str, time: datetime | None, expected_version: int | None = None, traceparent: str | None = None
) -> Headers:
    """The attributes as headers that `EnvelopeReader` reads; none for a time that is not known yet.

    Raises InvalidEvent naming the CloudEvents attribute.
    """
    headers: Headers = [source_header(source), id_header(event_id)]
    if time is not None:
        headers.append(time_header(time))
    if expected_version is not None:
        headers.append(("ce_expectedversion", _version(expected_version)))
    if traceparent is not None:
        headers.append(("traceparent", _traceparent(traceparent)))
    return headers


def source_header(source: str) -> Header:
    """Raises InvalidEvent. Whoever publishes many events has one source, so it need not be checked for each."""
    if is_workers(source):
        raise InvalidEvent(
            f"the source of an event is {shortened(source, 100)!r}; retold/APPLICATION/NAMESPACE is written by workers alone, in "
            "the events that handlers emit: give the publisher a name of its own", "source",
        )  # fmt: skip
    return "ce_source", _text("source", source)


def id_header(event_id: str) -> Header:
    """Raises InvalidEvent."""
    return "ce_id", _text("id", event_id)


def time_header(time: datetime) -> Header:
    """Raises InvalidEvent as `time_text`."""
    return "ce_time", time_text(time)


def _text(name: str, value: str) -> bytes:
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(f"the {name} of an event is {shortened(value, 100)!r}, which UTF-8 cannot write", name) from None
    if not 0 < len(encoded) <= TEXT_LIMIT:
        raise InvalidEvent(f"the {name} of an event is {shortened(value, 100)!r}; expected 1 to {TEXT_LIMIT} bytes", name)
    return encoded


def time_text(time: datetime) -> bytes:
    """A time as a header has it. Raises InvalidEvent for one without a zone, or beyond the years 1 to 9999 in UTC."""
    checked_time("the time of an event is", time, ": is it UTC? Then say so")
    return iso_text(time).encode()


def _traceparent(text: str) -> bytes:
    if not TRACEPARENT.fullmatch(text):
        expected = "expected one of W3C's Trace Context, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        raise InvalidEvent(f"the traceparent of an event is {shortened(text, 100)!r}; {expected}", "traceparent")
    return text.encode()


def _version(version: Any) -> bytes:
    if type(version) is int and 0 <= version < 10**18:
        return b"%d" % version
    raise InvalidEvent(
        f"the expected version is {version!r:.80}; expected a whole number from 0 up (0: there is no row)", "expectedversion"
    )
