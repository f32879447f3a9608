"""Python's collector of reference cycles, in a process that is retold's alone (ADR 10)."""

from __future__ import annotations

import gc

COLLECT_AFTER = 100_000
"""The garbage collector's threshold in container objects; Python's default is 700."""
WHILE_A_BATCH_LIVES = 1_000_000
"""The threshold of a worker, for a batch that makes cycles itself: between batches the worker collects by `COLLECT_AFTER`."""
YOUNG, OLD = 10, 100
"""After so many collections of a generation, the next one is looked through too."""


def spare_the_collector(after: int = COLLECT_AFTER) -> None:
    """Collect garbage less often, and never what exists from the start: for a process that is one worker, server or command.

    A batch makes many containers and no cycles; collecting with the defaults took 15 to 25 % of the time of handling.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(after, YOUNG, OLD)


def collect_between_batches() -> None:
    """Collect what Python would collect by `COLLECT_AFTER`: when a batch is gone, little is left to be looked through."""
    new, young, old = gc.get_count()
    if new > COLLECT_AFTER:
        gc.collect(2 if old > OLD else 1 if young > YOUNG else 0)
