"""The quick way to read headers: for the lists of names that publishers and workers write, without any check of single values.

What few records differ in, such as the source, is looked up by its bytes. None: only the careful way can say (EnvelopeReader).
"""

from __future__ import annotations

from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from streams.engine.envelope import TEXT_LIMIT, Envelope, is_ours
from streams.engine.identity import seed_of
from streams.engine.records import Headers
from streams.engine.times import to_micros
from streams.event import is_workers

SHARED = ("ce_specversion", "content-type", "ce_source", "ce_type")
"""Headers whose values a publisher's records share; those of a worker's also have the next ones."""
SHARED_BY_DERIVED = (*SHARED, "ce_hops", "ce_ordinal", "ce_causationsource", "ce_revision")
ROOT = ("ce_id", "ce_time")
DERIVED = ("ce_id", "ce_time", "ce_causationid", "ce_causetime", "ce_correlationid")
"""Headers whose values differ."""
TRACE = "traceparent"
OTHERS = 8
"""Headers of other names, of CloudEvents or foreign, that a list may have."""
TIME_LIMIT = 64
"""Bytes of a time."""
READ = frozenset({*DERIVED, *SHARED_BY_DERIVED, "ce_expectedversion"})
"""All that the careful way looks into."""
KEPT, SHARED_LIMIT = 1024, 4096
"""Shared values that are kept for a list of names, and their bytes: anybody may publish."""

_time = datetime.fromisoformat
Values = tuple[bytes, ...]


class Shared(NamedTuple):
    """What headers say that a publisher's records share."""

    source: str
    type: str | None
    cause_source: str
    ordinal: int
    revision: str
    hops: int
    is_workers: bool
    seed: bytes
    """Of a source that is not retold's: the digest of a short id begins with it (`fingerprint_of`)."""


Attributes = tuple[str, bytes, datetime, Shared, bytes | None, str | None, int | None, str | None]
"""Id, its bytes, time, shared ones, trace; of a derived event also its cause, the cause's time (µs) and its correlation."""


class QuickPlan(Protocol):
    """How to read one list of names."""

    def attributes(self, values: Values) -> Attributes | None:
        """None: only the careful way can say. Raises whatever odd values raise."""

    def read(self, headers: Headers, values: Values) -> Envelope | None:
        """None: only the careful way can say. Raises whatever odd values raise."""

    def learn(self, values: Values, envelope: Envelope) -> None:
        """Keep what the shared ones of these values give, by the envelope that the careful way has made of them."""


class _Plan:
    def __init__(self, names: tuple[str, ...], own: tuple[str, ...], shared: tuple[str, ...]) -> None:
        self._own: Any = itemgetter(*map(names.index, own))
        self._trace = names.index(TRACE) if TRACE in names else None
        self._shared: Any = itemgetter(*(at for at, name in enumerate(names) if name in shared))
        self._others = [(at, name.startswith("ce_")) for at, name in enumerate(names) if name not in (*own, *shared, TRACE)]
        self._plain = self._trace is None and not self._others
        self._known: dict[Any, Shared] = {}

    def learn(self, values: Values, envelope: Envelope) -> None:
        shared = self._shared(values)
        if sum(len(value or b"") for value in shared) > SHARED_LIMIT:
            return
        if len(self._known) >= KEPT:
            self._known.clear()
        source = envelope.source
        self._known[shared] = Shared(
            source, envelope.type, envelope.cause_source, envelope.ordinal, envelope.revision, envelope.hops,
            is_workers(source), seed_of(source),
        )  # fmt: skip

    def _trace_and_others(self, values: Values) -> bytes | None:
        """Checks the headers of other names. Raises ValueError, or what odd values raise: only the careful way can say."""
        for at, is_text in self._others:
            if len(values[at]) > TEXT_LIMIT:
                raise ValueError
            if is_text:
                values[at].decode()
        if self._trace is None:
            return None
        trace = values[self._trace]
        if not 0 < len(trace) <= TEXT_LIMIT:
            raise ValueError
        return trace


class RootPlan(_Plan):
    """Of an event without a cause."""

    def read(self, headers: Headers, values: Values) -> Envelope | None:
        found = self.attributes(values)
        if found is None:
            return None
        event_id, _, time, shared, trace, _, _, _ = found
        return Envelope(headers, event_id, shared[0], shared[1], time, trace=trace)

    def attributes(self, values: Values) -> Attributes | None:
        shared = self._known.get(self._shared(values))
        if shared is None:
            return None
        name, time = self._own(values)
        if not 0 < len(name) <= TEXT_LIMIT or len(time) > TIME_LIMIT:
            return None
        time = _time(time.decode())
        if time.tzinfo is not UTC:
            return None
        trace = None if self._plain else self._trace_and_others(values)
        return name.decode(), name, time, shared, trace, None, None, None


class DerivedPlan(_Plan):
    """Of an event that has a cause."""

    def read(self, headers: Headers, values: Values) -> Envelope | None:
        found = self.attributes(values)
        if found is None:
            return None
        event_id, _, time, shared, trace, cause, cause_time, correlation = found
        source, event_type, cause_source, ordinal, revision, hops, _, _ = shared
        return Envelope(
            headers, event_id, source, event_type, time, cause, cause_source, cause_time, correlation, ordinal, revision,
            None, hops, trace,
        )  # fmt: skip

    def attributes(self, values: Values) -> Attributes | None:
        shared = self._known.get(self._shared(values))
        if shared is None:
            return None
        name, time, cause, caused, chain = self._own(values)
        if not (name and cause and chain):
            return None
        if len(name) + len(cause) + len(chain) > TEXT_LIMIT or len(time) + len(caused) > TIME_LIMIT:
            return None  # together: a worker's are shorter
        time, cause_time = _time(time.decode()), _time(caused.decode())
        if time.tzinfo is not UTC or cause_time.tzinfo is not UTC:
            return None
        trace = None if self._plain else self._trace_and_others(values)
        return name.decode(), name, time, shared, trace, cause.decode(), to_micros(cause_time), chain.decode()


class LoggedPlan:
    """Of a record that a worker has stored: its last header is retold's own, and not carried."""

    def __init__(self, plan: QuickPlan) -> None:
        self._plan = plan

    def attributes(self, values: Values) -> Attributes | None:  # noqa: ARG002 - as of other plans
        """None: whoever asks for them carries the list as it is, and in an inbox somebody else has written that header."""
        return None

    def read(self, headers: Headers, values: Values) -> Envelope | None:
        return self._plan.read(headers[:-1], values)  # which is read by the places of the others

    def learn(self, values: Values, envelope: Envelope) -> None:
        self._plan.learn(values, envelope)


def quick_plan(names: tuple[str, ...]) -> QuickPlan | None:
    """None: a list of names that only the careful way reads, such as one with a name twice."""
    if is_ours(names[-1]):
        plan = _plan(names[:-1])
        return None if plan is None else LoggedPlan(plan)
    return _plan(names)


def _plan(names: tuple[str, ...]) -> QuickPlan | None:
    found = set(names)
    for own, shared, plan in ((ROOT, SHARED, RootPlan), (DERIVED, SHARED_BY_DERIVED, DerivedPlan)):
        others = found.difference(own, shared, (TRACE,))
        is_quick = len(found) == len(names) and found.issuperset(own) and len(found.intersection(shared)) > 1
        if is_quick and len(others) <= OTHERS and not any(map(_is_careful, others)):
            return plan(names, own, shared)
    return None


def _is_careful(name: str) -> bool:
    return name in READ or len(name) > TEXT_LIMIT or is_ours(name)
