"""Reads an event's headers. Most records have the same few lists of names, and such are read in a quick way.

The careful way is the reference: it reads every list, and says what is wrong with one. The quick way gives the same, or leaves the
list to the careful one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any, NamedTuple

from streams.engine.envelope import TEXT_LIMIT, Envelope, is_ours
from streams.engine.identity import fingerprint_of, seed_of
from streams.engine.quick_headers import TIME_LIMIT, QuickPlan, quick_plan
from streams.engine.records import UNREADABLE, Headers
from streams.engine.times import to_micros
from streams.errors import InvalidEvent

FOREIGN_LIMIT = 32 * 1024
KEPT = 1024
"""Lists of names whose plans are kept."""
MOST_NAMES = 100
"""Of a list that is kept: Kafka takes a record with a hundred thousand headers."""


def _text(name: str, value: bytes) -> str:
    if len(value) > TEXT_LIMIT:
        raise InvalidEvent(f"the header {name} is {len(value)} bytes long; at most {TEXT_LIMIT} are taken")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidEvent(
            f"the header {name} is {value[:80]!r}, which is not UTF-8; CloudEvents headers are text"
        ) from None


def _time(name: str, value: bytes) -> datetime:
    text = _text(name, value)
    try:
        time = datetime.fromisoformat(text) if len(text) <= TIME_LIMIT else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidEvent(
            f"the header {name} is {text[:80]!r}; expected an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z"
        )
    if time.year in (MINYEAR, MAXYEAR):  # in UTC it may be outside of the years that a datetime has
        try:
            time.astimezone(UTC)
        except OverflowError:
            raise InvalidEvent(
                f"the header {name} is {text!r}; expected a time of the years {MINYEAR} to {MAXYEAR} in UTC"
            ) from None
    return time


def _micros(name: str, value: bytes) -> int:
    return to_micros(_time(name, value))


def _number(name: str, value: bytes) -> int:
    if value.isdigit() and len(value) <= 18:
        return int(value)
    raise InvalidEvent(f"the header {name} is {value[:80]!r}; expected a whole number from 0 up")


TEXTS = {
    "ce_id": "id",
    "ce_type": "type",
    "ce_source": "source",
    "ce_causationid": "cause",
    "ce_causationsource": "cause_source",
    "ce_correlationid": "correlation",
    "ce_revision": "revision",
}
VALUES: dict[str, tuple[str, Callable[[str, bytes], Any]]] = {
    "ce_time": ("time", _time),
    "ce_causetime": ("cause_time", _micros),
    "ce_ordinal": ("ordinal", _number),
    "ce_expectedversion": ("expected_version", _number),
    "ce_hops": ("hops", _number),
    "traceparent": ("trace", lambda _, value: value),
}


class _Plan(NamedTuple):
    """How to read a list of header names; computed once, because a producer's records all have the same names.

    `texts` and `values` go into the envelope; `checked` must be text; `foreign` are only limited in size.
    """

    ours: frozenset[str]
    foreign: frozenset[str]
    checked: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str, Callable[[str, bytes], Any]], ...]


def _plan(names: tuple[str, ...]) -> _Plan:
    theirs = [name for name in names if not is_ours(name)]
    return _Plan(
        ours=frozenset(names).difference(theirs),
        foreign=frozenset(name for name in theirs if not name.startswith("ce_") and name != "content-type"),
        checked=tuple(name for name in theirs if name.startswith("ce_") and name not in {**TEXTS, **VALUES}),
        texts=tuple((name, TEXTS[name]) for name in theirs if name in TEXTS),
        values=tuple((name, *VALUES[name]) for name in theirs if name in VALUES),
    )


class _Source(NamedTuple):
    """A source's text, and what the digest of a short id begins with (`fingerprint_of`); empty if it is one of retold's own."""

    text: str
    seed: bytes


class EnvelopeReader:
    """Reads headers; keeps how to read at most `KEPT` lists of at most `MOST_NAMES`. Every event passes here, so it is fast."""

    def __init__(self) -> None:
        self._sources: dict[bytes, _Source] = {}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self.quick_plans: dict[tuple[str, ...], QuickPlan | None] = {}
        """By the names of headers that were read; None: only the careful way reads them."""

    def read(self, headers: Headers | None) -> Envelope:
        """Raises InvalidEvent for a `ce_` header that is not UTF-8 or not of its type, and for foreign headers over 32 KiB."""
        if not headers:
            if headers is UNREADABLE:
                raise InvalidEvent("the name of one of its headers is not UTF-8; CloudEvents headers are text")
            return Envelope([])
        names, values = zip(*headers)  # noqa: B905 - each is a pair
        try:
            plan = self.quick_plans[names]
        except KeyError:
            plan = self._remember_quick(names)
        if plan is None:
            return self.read_carefully(headers)
        try:
            envelope = plan.read(headers, values)
        except Exception:  # noqa: BLE001 - whatever it is, the careful way finds it again, and says what it is
            envelope = None
        if envelope is None:
            envelope = self.read_carefully(headers)
            plan.learn(values, envelope)
        return envelope

    def digest(self, headers: Headers) -> bytes | None:
        """The digest of the envelope of a record that a worker has stored; what is wrong with its other headers is not asked.

        Raises InvalidEvent as `read`.
        """
        found = dict(headers)
        name, sent = found.get("ce_id"), found.get("ce_source") or b""
        if not name or len(name) > TEXT_LIMIT or not name.isascii():
            return self.read(headers).digest
        source = self._sources.get(sent)
        if source is None:
            source = self._remember_source(sent, self.read(headers).source)
        digest = source.seed + name if source.seed else b""
        return digest if 16 < len(digest) <= 80 else fingerprint_of(source.text, name.decode())

    def read_carefully(self, headers: Headers) -> Envelope:
        """As `read`, for every list of headers that is not empty."""
        found = dict(headers)
        names = tuple(found)
        plan = self._plans.get(names) or self._remember(names)
        if ours := plan.ours:
            headers = [pair for pair in headers if pair[0] not in ours]
        if plan.foreign:
            _check_size(headers, plan.foreign)
        fields: dict[str, Any] = {}
        for name, field in plan.texts:
            if value := found[name]:
                fields[field] = _text(name, value)
        for name in plan.checked:
            _text(name, found[name] or b"")
        for name, field, read in plan.values:
            if value := found[name]:
                fields[field] = read(name, value)
        return Envelope(headers, **fields)

    def _remember(self, names: tuple[str, ...]) -> _Plan:
        if len(self._plans) >= KEPT:
            self._plans.clear()
        plan = _plan(names)
        if len(names) <= MOST_NAMES:
            self._plans[names] = plan
        return plan

    def _remember_source(self, sent: bytes, text: str) -> _Source:
        if len(self._sources) >= KEPT:
            self._sources.clear()
        source = self._sources[sent] = _Source(text, seed_of(text))
        return source

    def _remember_quick(self, names: tuple[str, ...]) -> QuickPlan | None:
        if len(self.quick_plans) >= KEPT:
            self.quick_plans.clear()
        if len(names) > MOST_NAMES:
            return None
        plan = self.quick_plans[names] = quick_plan(names)
        return plan


def _check_size(headers: Headers, foreign: frozenset[str]) -> None:
    size = sum(len(name) + len(value or b"") for name, value in headers if name in foreign)
    if size > FOREIGN_LIMIT:
        raise InvalidEvent(f"the headers beside CloudEvents' hold {size} bytes; at most {FOREIGN_LIMIT} are carried")
