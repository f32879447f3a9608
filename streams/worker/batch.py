"""What the poll thread hands to a namespace's agent, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from streams.engine.changes import Changes
from streams.engine.image import Image
from streams.engine.records import InboxRecord


@dataclass
class Batch:
    """Records by partition, the images they meet, and the group metadata captured with them (rule 4)."""

    records: dict[int, list[InboxRecord]]
    images: Mapping[int, Image]
    metadata: Any
    handle: Callable[[Image, list[InboxRecord]], Changes]
    ends: Mapping[int, int] = field(default_factory=dict)
    """The offsets at which partitions ended when these records were read."""
    changes: Future[list[Changes]] = field(default_factory=Future)

    def run(self) -> None:
        """Handle it; a fault of ours reaches the poll thread, and the agent goes on."""
        try:
            self.changes.set_result([self.handle(self.images[p], records) for p, records in self.records.items()])
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for the answer
            self.changes.set_exception(error)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))
