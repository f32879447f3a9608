"""A Kafka whose disk is full ends at once, wherever it finds out.

It writes its indexes to mapped memory. A page for which the disk has no room left faults, which Java makes an InternalError: the
records are in the log's file by then, and are refused. Kafka goes on, and writes the next ones at the same offsets. Its next start
finds offsets that do not grow, and deletes the whole segment, with all that it had confirmed (seen with Kafka 4.3.1). Where the
log itself cannot be written it ends, and cuts off the torn record when it starts. So it ends at such a fault, too.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

ENDS_AT_A_FAULT = (
    "-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UnlockDiagnosticVMOptions", "-XX:AbortVMOnException=java.lang.InternalError",
    "-XX:AbortVMOnExceptionMessage=unsafe", "-XX:-CreateCoredumpOnCrash",
)  # fmt: skip
"""For Java: "a fault occurred in an unsafe memory access operation", or in a recent one in compiled code. A core is as large as
the memory, and the disk is full."""

LEAST = 16 * 1024 * 1024
"""Bytes, below which a disk counts as full: Kafka writes in larger pieces than what is left."""

NO_MEMORY = (
    "Could not allocate", "Could not reserve", "Map failed", "insufficient memory", "OutOfMemoryError", "Cannot allocate memory",
)  # fmt: skip
"""What Java says for want of it."""


def little_memory(said: str) -> str:
    """A sentence about Java's last words, with a space behind it; empty if they are of something else."""
    if not any(word in said for word in NO_MEMORY):
        return ""
    return "Java had too little memory: it takes some 400 MB, and 4 GB of addresses (`ulimit -v`). Free some, or raise the limit. "


def full_disk(folder: Path, least: int = LEAST) -> str:
    """A sentence about the folder's disk, with a space behind it; empty if there is room."""
    with contextlib.suppress(OSError):  # the folder may be gone
        free = shutil.disk_usage(folder).free
        if free < least:
            return f"The disk of {folder} is full, with {free // 1024:,} KiB left: make room there first. "
    return ""
