"""Up to when nothing can change any more: what was recorded until then is read, whatever may still be recorded (rule 18)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

from streams.history.stored.stored_past import noted_frontier
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, stable_ends
from streams.kafka.renewed_client import Admin

IDLE = 5_000_000
"""µs by which a worker's clock, or its open transaction, may be behind: before that nothing more comes to an idle partition."""


class Frontier:
    """`kinds` has kind and namespace by topic; only logs matter."""

    def __init__(self, kinds: Mapping[str, tuple[str, str]]) -> None:
        self._kinds = kinds
        self.ends: Offsets = {}
        """Of what is committed, when they were measured."""
        self._last: Offsets = {}
        """The ends with what an open transaction still hides."""
        self._asked = 0.0

    def measure(self, admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0) -> Offsets:
        """The ends of what is committed, and when they were asked for. Raises BrokerError.

        The others come first: so an end before one of these means an open transaction, and not a newer record.
        """
        asked = time.time()
        last = ends(admin, partitions, timeout=timeout)
        self.ends = stable_ends(admin, partitions, timeout=timeout)
        self._last, self._asked = last, asked
        return self.ends

    def of(self, db: sqlite3.Connection) -> int:
        """The smallest last `recorded` (µs) over all partitions, or the clock's time where one is idle and read to its end.

        Never before the one that was noted: what was known for ever is so as well while a transaction is open in a partition
        that was idle until then, or its records are not read yet. Only a clock that was set back takes one back.
        """
        idle = round(self._asked * 1e6) - IDLE
        read, found = read_up_to(db), []
        for at in self.ends:
            kind, namespace = self._kinds.get(at[0], ("", ""))
            if kind == "log":
                reached, recorded = read.get((kind, namespace, at[1]), (0, 0))
                whole = (
                    reached >= self.ends[at] >= self._last[at]
                )  # what a transaction hides may have been recorded long ago
                found.append(max(recorded, idle) if whole else recorded)
        noted = noted_frontier(db) or 0
        return max(min(found, default=idle), noted if noted <= idle else 0)


def read_up_to(db: sqlite3.Connection) -> Mapping[tuple[str, str, int], tuple[int, int]]:
    """The next offset and the last recorded time by kind of topic, namespace and partition."""
    found = db.execute("select kind, ns, part, next_offset, recorded from position").fetchall()
    return {(kind, name, part): (offset, recorded or 0) for kind, name, part, offset, recorded in found}
