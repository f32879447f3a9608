"""What waits in an application in memory: timers, and what is set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams.engine.records import Headers
from streams.event import reference_of
from streams.history.story.waiting import NothingWaits, WaitingEvent
from tests.support.partitions import Partitions


class WaitingIn(NothingWaits):
    """Looks it up as a server's file has it; of an event that is all that it led to."""

    def __init__(self, there: Partitions) -> None:
        self._there = there

    def caused_by(self, reference: str) -> Sequence[WaitingEvent]:
        return [it for cause, it in self._all() if cause == reference]

    def _all(self) -> Iterator[tuple[str, WaitingEvent]]:
        for (namespace, _), image in self._there.images.items():
            for timer in image.due.values():
                headers = timer.emitted.headers
                yield _cause(headers), WaitingEvent("timer", timer.emitted.namespace, "", "", timer.event_id, timer.at)
            for it in (it for queue in image.parked.values() for it in queue):
                yield _cause(it.carried), WaitingEvent("parked", namespace, it.entity or "", "", _text(it.carried, "ce_id"), 0)


def _cause(headers: Headers) -> str:
    return reference_of(_text(headers, "ce_causationsource"), _text(headers, "ce_causationid"))


def _text(headers: Headers, name: str) -> str:
    return (dict(headers).get(name) or b"").decode()
