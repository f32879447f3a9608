"""The memory image of one partition of a namespace: its rows, and all that the next event's handling depends on."""

from __future__ import annotations

from streams.engine.duplicates import Window
from streams.engine.records import Changes, Counters, Entry, SetAside

WINDOW = 200_000


class Image:
    """`sequence` is that of the last log record (0: none), `recorded` its time in µs, `inbox_next` the next offset.

    `parked` holds, per blocked entity key, its queue in order; `parked_ids` what these would be recognised by.
    """

    def __init__(self, partition: int = 0, *, window: int = WINDOW, rows: dict[str, Entry] | None = None) -> None:
        self.partition = partition
        self.rows: dict[str, Entry] = {} if rows is None else rows
        self.sequence = 0
        self.recorded = 0
        self.inbox_next = 0
        self.window = Window(window)
        self.parked: dict[str, list[SetAside]] = {}
        self.parked_ids: dict[bytes, int] = {}
        self.quarantined = 0
        self.counters = Counters()

    def apply(self, changes: Changes) -> None:
        """Make committed changes true. Nothing here may fail half way: plain assignments only."""
        self.rows.update(changes.rows)
        self.window.add(changes.remembered)
        for record in changes.set_aside:
            self.set_aside(record)
        self.parked_ids.update(changes.parked_ids)
        self.sequence, self.recorded = changes.sequence, changes.recorded
        self.inbox_next = changes.inbox_next
        self.counters = self.counters.plus(changes.counters)

    def set_aside(self, record: SetAside) -> None:
        """Queue a parked record behind its key's others, or count a quarantined one."""
        if record.entity is None:
            self.quarantined += 1
        else:
            self.parked.setdefault(record.entity, []).append(record)
