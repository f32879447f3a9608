"""A port that is in use for a moment more: a process of a server that was killed holds it until it sees that it is alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from streams.cli.output.screen import talk
from streams.listening import PortTaken

T = TypeVar("T")
PATIENCE: Final = 5.0
"""s. One that is killed while its processes start is missed by them once they have started."""
AGAIN: Final = 0.1


def when_free(take: Callable[[], T], patience: float | None = None) -> T:
    """What `take` gives; it is called again while it raises PortTaken, and that is raised after `patience` s."""
    deadline: float | None = None
    while True:
        try:
            return take()
        except PortTaken:
            now = time.monotonic()
            if deadline is None:
                seconds = PATIENCE if patience is None else patience
                deadline = now + seconds
                talk(f"The port is in use. Waiting up to {seconds:g} s, in case a server that was there is just ending.")
            if now >= deadline:
                raise
        time.sleep(AGAIN)
