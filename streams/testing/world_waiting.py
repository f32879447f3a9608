"""What waits in a World, for its stories: timers, and what is parked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from streams.data import EventData
from streams.engine.changes import PendingTimer, SetAsideRecord
from streams.engine.envelope import TIMER
from streams.engine.pending import FiringLimit
from streams.engine.records import UNANSWERED, Codec, Headers
from streams.errors import StreamsError
from streams.event import reference_of
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.story.waiting import WaitingEvent
from streams.testing.space import Space

ALL = FiringLimit(2**63, 2**63)


class _Found(NamedTuple):
    """With the references of its cause and of its own."""

    event: WaitingEvent
    cause: str | None
    reference: str


class WorldWaiting:
    """A Waiting: as it is when this is made. No call waits in a World; one that failed is unanswered."""

    def __init__(self, codec: Codec, spaces: Iterable[Space]) -> None:
        self._codec = codec
        self._found = sorted((it for space in spaces for it in self._of(space)), key=lambda it: it.event.at)

    def caused_by(self, reference: str) -> Sequence[WaitingEvent]:
        return [it.event for it in self._found if it.cause == reference and it.event.kind != UNANSWERED]

    def request(self, it: RecordedEvent) -> WaitingEvent | None:
        unanswered = (found.event for found in self._found if found.event.kind == UNANSWERED and found.reference == it.reference)
        return next(unanswered, None)

    def of_key(self, place: Place, most: int) -> Sequence[WaitingEvent]:
        return [it.event for it in self._found if (it.event.namespace, it.event.key) == place][:most]

    def _of(self, space: Space) -> Iterator[_Found]:
        for timer in space.image.due.until(ALL):
            assert isinstance(timer, PendingTimer), "a World has all bodies in memory"
            yield self._timer(timer)
        for queue in space.image.parked.values():
            for aside in queue:
                assert isinstance(aside, SetAsideRecord), "here, too"
                yield self._aside(space, aside)

    def _timer(self, it: PendingTimer) -> _Found:
        data, given = self._data(it.emitted.value), _texts(it.emitted.headers)
        of = given.get("ce_type", "") if data is None else data.event_type
        event = WaitingEvent(TIMER, it.emitted.namespace, it.emitted.key.decode(), of, it.event_id, it.at, None, "", data)
        return _Found(event, _cause(given), it.event_id)

    def _aside(self, space: Space, it: SetAsideRecord) -> _Found:
        data, given, header = self._data(it.value), _texts(it.carried), it.header
        of = given.get("ce_type", "") if data is None else data.event_type
        name, where = given.get("ce_id") or header.id or "", f"{space.name}-{space.image.partition}@{it.position}"
        event = WaitingEvent(header.status, space.name, header.key or "", of, name, header.recorded, header.reason, where, data)
        return _Found(event, _cause(given), reference_of(given.get("ce_source", ""), name))

    def _data(self, value: bytes) -> EventData | None:
        with suppress(StreamsError):  # it belongs to another application
            return self._codec.decode(value)
        return None


def _texts(headers: Headers) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers}


def _cause(given: dict[str, str]) -> str | None:
    cause = given.get("ce_causationid")
    return reference_of(given.get("ce_causationsource", ""), cause) if cause else None
