"""The end of a namespace whose broker does not answer: it is not waited for."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.errors import BrokerUnavailable
from streams.kafka.cancellable_steps import Cancelled, Steps

log = structlog.get_logger("retold.worker")

GRACE, BROKER_TIMEOUT = 2.0, 1.5
"""s that an end may take before the broker is asked for, and that it then has to answer: a stop ends within 5 s."""
LONGEST = 30.0
"""s that an end may take beside its gateways' last calls while the broker answers: more than a transaction's time-out."""


class StopWatchdog:
    """`check_broker(seconds)` raises BrokerUnavailable. `last_calls` in s: how long the end may wait for gateways.

    librdkafka holds a thread in what it does with a broker: 5 s to leave a group, and 8 s to send offsets whatever time it
    is given. What was begun is aborted when its producer comes back or its time is over, and is done again.
    """

    def __init__(self, namespace: str, check_broker: Callable[[float], None], last_calls: float) -> None:
        self._namespace, self._check_broker, self._longest = namespace, check_broker, LONGEST + last_calls
        self.given_up = False

    def watch(self, ended: Cancelled) -> Steps[None]:
        """Beside the namespace's end, until it has ended."""
        yield GRACE
        waited = GRACE
        while not ended():
            try:
                self._check_broker(BROKER_TIMEOUT)
            except BrokerUnavailable as error:
                self._give_up(ended, f"the broker does not answer: {error}")
                return
            if waited > self._longest:  # seen: a call that librdkafka never came back from after its broker stood still
                self._give_up(ended, f"it has not ended for {waited:.0f} s though the broker answers")
                return
            yield BROKER_TIMEOUT
            waited += BROKER_TIMEOUT

    def _give_up(self, ended: Cancelled, why: str) -> None:
        self.given_up = not ended()
        if self.given_up:
            log.warning(
                "stopped without waiting for its end; the open transaction will be aborted and its events handled again",
                namespace=self._namespace,
                reason=why,
            )
