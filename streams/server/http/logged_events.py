"""The events of logs as they come, in pieces that all who watch them share: each is read, decoded and written once for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.history.recorded_event import NamespacePartition
from streams.kafka.messages import LogEvent
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.row_json import to_json

AT_ONCE: Final = 200
"""Events of a partition that are read at a time: a piece ends where a number is a multiple of it, so those who are apart meet."""
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of JSON that are kept for others, about."""


class SharedLogEvent(NamedTuple):
    """`data` is what is told of it, as JSON."""

    event: LogEvent
    data: bytes


class LoggedEvents(NamedTuple):
    """Those of a partition behind a sequence, to `upto`, whether or not that one is there."""

    events: Sequence[SharedLogEvent]
    upto: int


def read_events(
    model: ReadModel, partition: NamespacePartition, after: int, end: int, key: str | None = None, limit: int | None = None
) -> LoggedEvents:
    """The next ones up to `end`, of one key or of all. Raises StoreAway, sqlite3.Error, UnsupportedSchema."""
    limit = AT_ONCE if limit is None else limit
    some = model.events(partition, after, limit, key)
    found = [SharedLogEvent(it, to_json(shown(it))) for it in some if it.sequence <= end]
    return LoggedEvents(found, min(end, some[-1].sequence) if len(some) == limit else end)


def shown(event: LogEvent) -> dict[str, object]:
    """The members of `retold tail --json`, and the position as one text."""
    return {**event.members(), "position": f"{event.namespace}-{event.partition}:{event.sequence}"}


class NewEvents:
    """Threads may share it. What it has read is kept until the file has changed: an event of it may be erased."""

    def __init__(self, model: ReadModel) -> None:
        self._model, self._lock, self._seen = model, threading.Lock(), object()
        self._kept: OrderedDict[tuple[NamespacePartition, int], LoggedEvents] = OrderedDict()
        self._size = 0

    def behind(self, partition: NamespacePartition, after: int, end: int) -> LoggedEvents:
        """As `read_events`."""
        with self._lock:
            if self._seen is not self._model.changes:
                self._seen, self._size = self._model.changes, 0
                self._kept.clear()
            kept = self._kept.get((partition, after))
            limit = AT_ONCE - after % AT_ONCE
            if kept is None or (kept.upto < end and len(kept.events) < limit):
                kept = read_events(self._model, partition, after, end, None, limit)
                self._keep((partition, after), kept)
            return kept

    def _keep(self, at: tuple[NamespacePartition, int], new: LoggedEvents) -> None:
        before = self._kept.pop(at, None)
        self._kept[at] = new
        self._size += _size(new) - (0 if before is None else _size(before))
        while self._size > LARGEST and self._kept:
            self._size -= _size(self._kept.popitem(last=False)[1])


def _size(of: LoggedEvents) -> int:
    return sum(len(it.data) for it in of.events)
