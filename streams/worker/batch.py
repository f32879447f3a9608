"""What the poll thread hands to a namespace's agent, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from streams.engine.changes import Changes
from streams.engine.records import InboxRecord
from streams.worker.task import PartitionTask


@dataclass
class Batch:
    """Records by the task of their partition, and the group metadata captured with them (rule 4)."""

    records: Mapping[PartitionTask, list[InboxRecord]]
    metadata: Any
    ends: Mapping[int, int] = field(default_factory=dict)
    """The offsets at which partitions ended when these records were read."""
    changes: Future[dict[PartitionTask, Changes]] = field(default_factory=Future)

    def run(self, handle: Callable[[PartitionTask, list[InboxRecord]], Changes]) -> None:
        """Handle it; a fault of ours reaches the poll thread, and the agent goes on."""
        try:
            self.changes.set_result({task: handle(task, records) for task, records in self.records.items()})
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for the answer
            self.changes.set_exception(error)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))
