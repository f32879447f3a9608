"""The result of one poll of an inbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.engine.records import InboxRecord
from streams.worker.task import PartitionTask


@dataclass(frozen=True)
class PolledBatch:
    """Records by the task of their partition, perhaps none, and the group metadata taken with them (rule 4)."""

    metadata: Any
    records: Mapping[PartitionTask, list[InboxRecord]] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    """The offsets at which partitions ended when these records were read."""

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))
