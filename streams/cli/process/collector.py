"""Python's collector of reference cycles, in a process that is retold's alone (ADR 10)."""

from __future__ import annotations

import gc
import threading

COLLECT_AFTER = 100_000
"""The garbage collector's threshold in container objects; Python's default is 700."""
WHILE_A_BATCH_LIVES = 1_000_000
"""The threshold of a worker, for a batch that makes cycles itself: between batches the worker collects by `COLLECT_AFTER`."""
WHILE_ANOTHER_LIVES = 400_000
"""The same between batches of a namespace, while another one has a batch in hand."""
YOUNG, OLD = 10, 100
"""After so many collections of a generation, the next one is looked through too."""


def collect_seldom(after: int = COLLECT_AFTER) -> None:
    """From the start of a process on: what it imports lives until its end, and looking through that takes 0.1 s or more."""
    gc.set_threshold(after, YOUNG, OLD)


def spare_the_collector(after: int = COLLECT_AFTER) -> None:
    """Collect garbage less often, and never what exists from the start: for a process that is one worker, server or command.

    A batch makes many containers and no cycles; collecting with the defaults took 15 to 25 % of the time of handling.
    """
    gc.collect()
    gc.freeze()
    collect_seldom(after)


class BetweenBatches:
    """Collects what Python would collect by `COLLECT_AFTER`, when a batch is gone: then little is left to be looked through.

    A worker of several namespaces may have another batch in hand, all of which lives: it waits for more to be new then.
    """

    def __init__(self) -> None:
        self._in_hand, self._lock = 0, threading.Lock()

    def taken(self) -> None:
        """A batch is being handled. From any thread."""
        with self._lock:
            self._in_hand += 1

    def dropped(self) -> None:
        """A batch is handled and gone. From its thread."""
        with self._lock:
            self._in_hand -= 1
        new, young, old = gc.get_count()
        if new > (WHILE_ANOTHER_LIVES if self._in_hand else COLLECT_AFTER):
            gc.collect(2 if old > OLD else 1 if young > YOUNG else 0)
