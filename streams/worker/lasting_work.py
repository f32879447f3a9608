"""Work beside a namespace's cycles, which is begun again after an error that nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.errors import PartitionLost
from streams.kafka.cancellable_steps import Cancelled, Steps

log = structlog.get_logger("retold.worker")

Beside = Callable[[Cancelled], Steps[None]]
"""Background work of a namespace, as long as it runs."""
AGAIN = 30.0
"""s until it is begun again."""


def lasting(work: Beside, namespace: str) -> Beside:
    """The same work. Nobody asks for what it raises: it would be over without a word, and the namespace would go on without it."""

    def steps(cancelled: Cancelled) -> Steps[None]:
        while True:
            try:
                yield from work(cancelled)
            except PartitionLost:  # cancelled
                raise
            except Exception as error:  # whatever it is, the namespace can go on
                log.error("work in the background failed; it is begun again", namespace=namespace, seconds=AGAIN, exc_info=error)
            else:
                return
            yield AGAIN

    return steps
