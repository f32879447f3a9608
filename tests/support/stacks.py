"""The stacks of a process as a person reads them: where its threads are, without those that only wait for work."""

from __future__ import annotations

from collections import Counter

IDLE = ("worker/threads.py", "in _next")
"""What the second frame of a thread that waits for work says."""


def read_stacks(told: str) -> str:
    """What `faulthandler` told, each stack once with the number of its threads, without threads that have nothing to do."""
    found = Counter(_frames(block) for block in told.split("\n\n"))
    return "\n\n".join(f"{count} thread(s):\n{frames}" for frames, count in found.items() if not _idles(frames))


def _frames(block: str) -> str:
    return "\n".join(line.strip() for line in block.splitlines() if not line.startswith(("Thread ", "Current thread ")))


def _idles(frames: str) -> bool:
    return not frames or all(word in "\n".join(frames.splitlines()[:2]) for word in IDLE)
