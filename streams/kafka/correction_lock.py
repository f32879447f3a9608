"""One coordinator at a time for each state folder: the commands and the servers of a project on one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import StalePlan, unwritable_state
from streams.private_files import lock_private, make_private


@contextmanager
def the_only_one(folder: Path) -> Iterator[None]:
    """Raises StalePlan if another coordinator of this project is at work on this machine."""
    try:
        make_private(folder)
        file = lock_private(folder / "correction.lock")
    except OSError as error:
        raise unwritable_state(folder, error) from error
    if file is None:
        raise StalePlan("another coordinator of this project, a command or a server, is at work on this machine: let it end")
    try:
        yield
    finally:
        os.close(file)
