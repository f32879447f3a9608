"""The end of a namespace whose broker does not answer: it is not waited for."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.errors import BrokerUnavailable
from streams.kafka.steps import Cancelled, Steps

log = structlog.get_logger("retold.worker")

PATIENCE, ASK = 2.0, 1.5
"""s that an end may take before the broker is asked for, and that it then has to answer: a stop ends within 5 s."""


class StopWatchdog:
    """`reach(seconds)` raises BrokerUnavailable.

    librdkafka holds a thread in what it does with a broker: 5 s to leave a group, and 8 s to send offsets whatever time it
    is given. What was begun is aborted when its producer comes back or its time is over, and is done again.
    """

    def __init__(self, namespace: str, reach: Callable[[float], None]) -> None:
        self._namespace, self._reach = namespace, reach
        self.given_up = False

    def watch(self, ended: Cancelled) -> Steps[None]:
        """Beside the namespace's end, until it has ended."""
        yield PATIENCE
        while not ended():
            try:
                self._reach(ASK)
            except BrokerUnavailable as error:
                self.given_up = not ended()
                if self.given_up:
                    log.warning(
                        "stopped without waiting for the broker; the open transaction will be aborted and its events handled again",
                        namespace=self._namespace,
                        error=str(error),
                    )
                return
            yield ASK
