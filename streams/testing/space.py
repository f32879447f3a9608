"""One namespace of a World: its inbox, its engine, its image and its log, all of one partition."""

from __future__ import annotations

from collections import deque

from streams.data import Record
from streams.engine.changes import Changes, HandledRecord
from streams.engine.engine import Engine
from streams.engine.fold import LoggedEvent
from streams.engine.records import Headers, InboxRecord
from streams.engine.stored import log_header_of
from streams.engine.timers import due_timers


class Space:
    """`inbox` has the unhandled records with their arrival numbers; `blocked` is the reason if the first one blocks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.namespace
        self.image = engine.image()
        self.inbox: deque[tuple[int, InboxRecord]] = deque()
        self.log: list[HandledRecord] = []
        self.blocked: str | None = None
        self._next = 0

    def put(self, arrival: int, key: bytes | None, value: bytes | None, headers: Headers | None, now: int) -> int:
        """Add a record. `now` in µs. Returns the offset."""
        offset = self._next
        self.inbox.append((arrival, (offset, key, value, headers, now // 1000)))
        self._next += 1
        return offset

    def take(self, now: int) -> tuple[InboxRecord, Changes]:
        """Handle the first record of the inbox, unless it blocks, after the timers that are due before it.

        If these are more than one transaction takes, it stays first.
        """
        record = self.inbox[0][1]
        changes = self.engine.handle(self.image, [record], now)
        if changes.blocked is not None:
            self.blocked = changes.blocked.reason
        if changes.taken:
            self.inbox.popleft()
        self._apply(changes)
        return record, changes

    def fire(self, until: int, now: int) -> Changes | None:
        """Fire the timers that are due by `until` (µs), as many as one transaction takes; None: there is none."""
        timers = due_timers(self.image, until)
        if not timers:
            return None
        batch = self.engine.begin(self.image, now)
        batch.fire(timers)
        self._apply(batch.changes)
        return batch.changes

    def _apply(self, changes: Changes) -> None:
        self.image.apply(changes)
        self.log += changes.log

    def ready(self) -> bool:
        return bool(self.inbox) and self.blocked is None

    def entry(self, key: str) -> tuple[Record | None, int]:
        return self.image.rows.get(key, (None, 0))

    def rows(self) -> dict[str, Record]:
        return {key: row for key, (row, _) in self.image.rows.items() if row is not None}

    def logged(self) -> list[LoggedEvent]:
        return [LoggedEvent(it.event, log_header_of(it)) for it in self.log if it.event is not None]
