"""What corrections have done to an event: that it was taken out, replaced, put in or decided again, by whom and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from streams.data import EventData
from streams.engine.records import Codec
from streams.engine.times import from_micros
from streams.errors import StreamsError
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.recorded_event import RecordedEvent

TAKEN_OUT, REPLACED, PUT_IN, AGAIN = "taken out", "replaced", "put in", "decided again"


class EventCorrection(msgspec.Struct, frozen=True):
    """What one correction has done to an event.

    Attributes:
        what: `taken out`, `replaced` (it has other data), `put in` or `decided again` (by newer code).
        correction: The correction's id.
        by: Who has corrected it.
        why: Why.
        at: When that was begun.
        data: The data that it has since it was replaced; else None.

    """

    what: str
    correction: str
    by: str
    why: str
    at: datetime
    data: EventData | None = None


class EventCorrections:
    """By event, what the corrections have done to it, in their order."""

    def __init__(self, corrections: Iterable[KnownCorrection] = (), codec: Codec | None = None) -> None:
        self._codec = codec
        self._found: dict[str, list[EventCorrection]] = defaultdict(list)
        for it in corrections:
            for name in it.change.remove:
                self._add(name, TAKEN_OUT, it)
            for name, value in it.change.replace.items():
                self._add(name, REPLACED, it, value)
            for put in it.change.insert:
                self._add(put.reference, PUT_IN, it)
            for name in it.change.again:
                self._add(name, AGAIN, it)

    def _add(self, name: str, what: str, it: KnownCorrection, value: bytes | None = None) -> None:
        data = None if value is None else self._data(value)
        self._found[name].append(EventCorrection(what, it.correction, it.by, it.why, from_micros(it.begun), data))

    def _data(self, value: bytes) -> EventData | None:
        try:
            return None if self._codec is None else self._codec.decode(value)
        except StreamsError:  # of a schema that is not known here
            return None

    def of(self, it: RecordedEvent) -> Sequence[EventCorrection]:
        if not self._found:
            return ()
        names = dict.fromkeys((it.exact_name, it.reference))
        return sorted((each for name in names for each in self._found.get(name, ())), key=lambda each: each.at)


NOTHING_CORRECTED = EventCorrections()
