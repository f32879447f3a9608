"""Whether open files are those that the owner of several HTTP processes gives to each of them."""

from __future__ import annotations

import os
import stat

from streams.server.access.shared_rates import SIZE


def is_link(number: int) -> bool:
    """A socket."""
    found = _status(number)
    return found is not None and stat.S_ISSOCK(found.st_mode)


def are_rates(number: int) -> bool:
    """Memory for SharedRates."""
    found = _status(number)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size == SIZE


def _status(number: int) -> os.stat_result | None:
    """None if it is not open."""
    try:
        return os.fstat(number)
    except OSError:
        return None
