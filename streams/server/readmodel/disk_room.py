"""The room on the disk of the file that a server answers from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Bytes that a process without privileges may still write, and those of the whole disk."""

    free: int
    size: int

    @property
    def share(self) -> float:
        """The part that is free, from 0 to 1."""
        return self.free / self.size if self.size else 1.0


def room_of(file: Path | None) -> DiskRoom | None:
    """None if there is no file, or its folder cannot be looked at."""
    if file is None:
        return None
    try:
        disk = os.statvfs(file.parent)
    except OSError:
        return None
    return DiskRoom(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
