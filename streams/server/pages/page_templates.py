"""The templates, and how they write values: all text is escaped, and a name that a page does not have is an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streams.engine.readable import one_line, shortened
from streams.engine.times import from_micros
from streams.server.http.guard import STATIC_PATH

FOLDER = Path(__file__).parent
STATIC = {"retold.css": "text/css", "live.js": "text/javascript", "retold.svg": "image/svg+xml"}
"""The files that pages load, and their types."""
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""Headers of every page: it loads and asks this server alone."""
CELL = 120
"""Characters of a value in a cell of a table."""
FAR = 60
"""Seconds between when an event happened and when it was handled that a page tells."""


def static_file(name: str) -> bytes:
    return (FOLDER / "static" / name).read_bytes()


def static_url(name: str) -> str:
    """With a digest, so that a browser may keep the file for good."""
    return f"{STATIC_PATH}{name}?v={blake2b(static_file(name), digest_size=6).hexdigest()}"


def shown(value: Any) -> str:
    """A value of JSON as text: what is no text is JSON."""
    if isinstance(value, str):
        return one_line(value)
    return one_line(msgspec.json.encode(value).decode())


def cell(value: Any) -> str:
    """The same, cut for a table; nothing is shown as nothing."""
    return "" if value is None else shortened(shown(value), CELL)


def lines(value: Any) -> str:
    """JSON on several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def moment(text: str | None) -> str:
    """A time of JSON as a person reads it."""
    if text is None:
        return "-"
    return _second(datetime.fromisoformat(text))


def micros(value: int | None) -> str:
    """A time in µs since 1970, as a person reads it."""
    return "-" if not value else _second(from_micros(value))


def _second(time: datetime) -> str:
    """With four digits of the year, also of the year 1."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"


def later(text: str, before: str) -> str:
    """How long after another time it is."""
    seconds = (datetime.fromisoformat(text) - datetime.fromisoformat(before)).total_seconds()
    if abs(seconds) < 60:
        return f"{seconds:+.2f} s"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= length:
            return f"{seconds / length:+.1f} {unit}"
    return ""


def far_from(text: str, other: str) -> bool:
    """Whether two times are so far apart that a person is told both."""
    return abs((datetime.fromisoformat(text) - datetime.fromisoformat(other)).total_seconds()) >= FAR


def count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def escaped(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="")


def event_url(name: str) -> str:
    """Of an event's id or position."""
    return f"/events/{escaped(name)}/story"


def row_url(namespace: str, key: str) -> str:
    return f"/rows/{escaped(namespace)}/{escaped(key)}"


def aside_url(where: str) -> str:
    """Of what is set aside at such as `user-3@1042`."""
    namespace, _, rest = where.partition("-")
    partition, _, place = rest.partition("@")
    return f"/parked/{escaped(namespace)}/{escaped(partition)}/{escaped(place)}"


@cache
def environment() -> Environment:
    """One for all servers of a process: a template takes 10 ms to compile."""
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
        lstrip_blocks=True,
    )  # fmt: skip
    for filter_ in (shown, cell, lines, moment, micros, later, far_from, count, escaped):
        found.filters[filter_.__name__] = filter_
    urls: Mapping[str, Any] = {"static": {name: static_url(name) for name in STATIC}}
    found.globals.update(urls, event_url=event_url, row_url=row_url, aside_url=aside_url)
    return found
