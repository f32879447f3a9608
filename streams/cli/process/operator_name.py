"""Who asks for what a command writes, where the command does not name anybody."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress

from streams.engine.readable import harmless

LONGEST = 200
"""Characters of a login that are kept."""


def operator_name(given: str | None = None) -> str:
    """The name that was `given`, or the login; where the user has no name, as in many containers, `uid 1000`.

    A login is whatever bytes the environment has: what is no UTF-8 is escaped, since it is written to Kafka.
    """
    if given:
        return given
    with suppress(OSError, KeyError, ImportError):  # which of them depends on the version of Python
        return harmless(getpass.getuser())[:LONGEST]
    return f"uid {os.getuid()}"
