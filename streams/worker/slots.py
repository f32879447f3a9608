"""Slots: the number of a worker within its instance. A slot is part of a transactional id, so a file lock protects it.

A restarted worker takes the slot of the one that died, and so aborts the transaction that it left open (rule 3).
"""

from __future__ import annotations

import os
from pathlib import Path

from streams.errors import ConfigError, unwritable_state
from streams.private_files import lock_private, make_private

SLOTS = 1000


class Slot:
    """`number` counts from 0. The lock is released when the process ends, however it ends."""

    def __init__(self, folder: Path, namespace: str) -> None:
        try:
            for each in (folder.parent, folder):
                make_private(each)
            self.number, self._file = self._take(folder, namespace)
        except OSError as error:
            raise unwritable_state(folder.parent, error) from error

    @staticmethod
    def _take(folder: Path, namespace: str) -> tuple[int, int]:
        for number in range(SLOTS):
            file = lock_private(folder / f"{namespace}.{number}.lock")
            if file is not None:
                return number, file
        raise ConfigError(f"{SLOTS} workers of {namespace} run on this machine already")

    def release(self) -> None:
        os.close(self._file)
