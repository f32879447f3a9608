"""The name of a correction's coordinator, which tells those on this machine whether its process still runs."""

from __future__ import annotations

import os
import socket
from hashlib import blake2b
from pathlib import Path


def own_name() -> str:
    """Of a coordinator in this process."""
    return f"{_place()}-{os.getpid()}"


def has_ended(coordinator: str) -> bool:
    """Whether a coordinator of this machine has ended; of one whose processes are not seen from here it is not known.

    An earlier version named the host alone.
    """
    place, _, number = coordinator.rpartition("-")
    if place not in (_place(), socket.gethostname()) or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError, ValueError):  # no process has a number that is too large
        return True
    except PermissionError:  # it is another user's
        pass
    return False


def _place() -> str:
    """Where the number of a process means this process: containers on one host may share its name, and each counts anew."""
    host = socket.gethostname()
    try:
        here = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux, or /proc is hidden
        return host
    return f"{host}-{blake2b(here.encode(), digest_size=4).hexdigest()}"
