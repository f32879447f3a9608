"""Limits how long stopping a namespace may take: an end without an answer from the broker is not waited for."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.errors import BrokerUnavailable
from streams.kafka.cancellable_steps import Cancelled, Steps

log = structlog.get_logger("retold.worker")

GRACE, BROKER_TIMEOUT = 2.0, 1.5
"""s that a stop may take before the broker is checked, and that the broker then has to answer: a stop ends within 5 s."""
LONGEST = 30.0
"""s that a stop may take, beside its gateways' last calls, while the broker answers: more than a transaction's timeout."""


class StopWatchdog:
    """`check_broker(seconds)` raises BrokerUnavailable. `last_calls` in s: how long a stop may wait for gateways.

    librdkafka blocks a thread in requests to a broker: 5 s to leave a group, and 8 s to send offsets, whatever timeout it is
    given. The open transaction is aborted when its producer restarts or at its timeout, and its work is done again.
    """

    def __init__(self, namespace: str, check_broker: Callable[[float], None], last_calls: float) -> None:
        self._namespace, self._check_broker, self._longest = namespace, check_broker, LONGEST + last_calls
        self.given_up = False

    def watch(self, ended: Cancelled) -> Steps[None]:
        """Watch a stop in the background, until the namespace has ended."""
        yield GRACE
        waited = GRACE
        while not ended():
            try:
                self._check_broker(BROKER_TIMEOUT)
            except BrokerUnavailable as error:
                self._give_up(ended, f"the broker does not answer: {error}")
                return
            if waited > self._longest:  # seen: a librdkafka call that never returned after a broker was frozen
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
