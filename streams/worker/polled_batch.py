"""The result of one poll of an inbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.engine.records import InboxRecord
from streams.worker.task import PartitionTask


@dataclass(frozen=True)
class PolledBatch:
    """Records by the task of their partition, perhaps none, and the group metadata taken with them (rule 4)."""

    metadata: Any
    records: dict[PartitionTask, list[InboxRecord]] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    """The offsets at which partitions ended when these records were read."""

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))

    def drop(self) -> None:
        """Let go of the records, which nobody needs any more; whoever polled the batch still holds it for a while."""
        self.records.clear()

    def note_ends(self, tasks: Iterable[PartitionTask]) -> None:
        """An end is reported once; for a partition without records in the batch it counts even if its transaction is aborted."""
        for task in tasks:
            end, read = self.ends.get(task.partition), self.records.get(task)
            if end is not None and (not read or task.image.inbox_next > read[-1][0]):
                task.read_to(end)
