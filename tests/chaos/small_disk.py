"""A small file system for the broker's data, which can be filled: in memory, and in a mount namespace that only this program has.

So it is gone with the program, in whatever way that ends. Root may make such a namespace; others may where Linux lets them.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

OWN_MOUNTS = "CHAOS_OWN_MOUNTS"
"""Set in the environment of a program that has a mount namespace of its own."""
MEGABYTES = 1_024
"""More than a run writes; only what is written takes memory."""
PIECE = 1 << 20


def can_mount() -> bool:
    return OWN_MOUNTS in os.environ


def with_own_mounts(words: Sequence[str]) -> None:
    """Go on as the same program in a mount namespace of its own; returns where that cannot be had, or is so already."""
    if can_mount() or shutil.which("unshare") is None:
        return
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        os.execvpe(command[0], [*command, sys.executable, "-m", *words], {**os.environ, OWN_MOUNTS: "1"})


class SmallDisk:
    """Mounted on `folder` until its block ends; what it had then is left in the folder, so that it can be kept."""

    def __init__(self, folder: Path, megabytes: int = MEGABYTES) -> None:
        self._folder, self._megabytes, self._filling = folder, megabytes, folder / "filling"
        self.is_full = False

    def fill(self) -> None:
        """Until nothing can be written any more."""
        self.is_full = True
        with self._filling.open("wb", buffering=0) as file:
            for piece in (PIECE, 4_096, 1):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """What was written to fill it is taken away."""
        self._filling.unlink(missing_ok=True)
        self.is_full = False

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self._megabytes}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "chaos", str(self._folder)], check=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.free()
        left = self._folder.with_name(f"{self._folder.name}-left")
        subprocess.run(["cp", "-a", "--sparse=always", str(self._folder), str(left)], check=False)
        subprocess.run(["umount", "--lazy", str(self._folder)], check=False)
        shutil.copytree(left, self._folder, dirs_exist_ok=True, copy_function=os.rename)
        shutil.rmtree(left)
