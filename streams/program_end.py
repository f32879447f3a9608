"""What a program has published, when it ends or forks: nothing is left behind without a word."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from abc import ABC, abstractmethod

log = logging.getLogger("retold.client")

AT_EXIT = 10.0
"""s that the end of a program waits for its brokers, for all of its clients together."""


class Publishing(ABC):
    """What hears of the end of this program, and of its copy that a fork makes: there are no threads of Kafka's client in that."""

    @abstractmethod
    def end(self, seconds: float) -> None:
        """The program ends, and waits for the broker so long at most."""

    @abstractmethod
    def forked(self) -> None:
        """This is a process that was forked from the one that published."""

    def watch(self) -> None:
        WATCHED.add(self)


WATCHED: weakref.WeakSet[Publishing] = weakref.WeakSet()


def tell(text: str) -> None:
    """In the log; or on stderr, where the program has not set up logging and nobody would see it."""
    log.warning("%s", text)
    if not _is_shown():
        sys.stderr.write(f"{text}\n")


def _is_shown() -> bool:
    at: logging.Logger | None = log
    while at is not None:
        if any(not isinstance(each, logging.NullHandler) for each in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _end() -> None:
    until = time.monotonic() + AT_EXIT
    for each in [*WATCHED]:
        each.end(max(0.0, until - time.monotonic()))


def _forked() -> None:
    for each in [*WATCHED]:
        each.forked()
    WATCHED.clear()


atexit.register(_end)
os.register_at_fork(after_in_child=_forked)
