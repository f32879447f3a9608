"""A disk that is full at the next write to an index: without the right to mount one, and at a topic of the test's choice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 10 * 1024 * 1024
"""Kafka's own: it maps an index with so many bytes, of which the disk has none until they are written."""


@contextmanager
def no_room_for_indexes(folder: Path, topic: str) -> Iterator[None]:
    """Of the broker that runs on `folder`. What it writes to an index of the topic faults until the block ends."""
    found = [path for kind in ("index", "timeindex") for path in (folder / "kafka" / "data").glob(f"{topic}-*/*.{kind}")]
    assert found, f"{topic} has no index"
    for path in found:
        os.truncate(path, 0)
    try:
        yield
    finally:
        for path in found:
            os.truncate(path, SIZE)
