"""Whether a worker that keeps copies joins its group yet: while all partitions have owners, it reads its copies first.

Then the partitions that move to it pause for a moment only, and so do those of a worker that it replaces.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.clock import Clock
from streams.errors import BrokerError
from streams.worker.standby import Standby

log = structlog.get_logger("retold.worker")

ASK = 1.0
"""s between two questions whether all partitions have owners."""
STILL = 60.0
"""s without progress, after which it joins all the same."""


def join_at_once() -> bool:
    """For a worker that keeps no copies."""
    return True


class WarmUp:
    """`all_owned` asks whether each partition has an owner: if one has none, nobody waits for copies. It may raise BrokerError."""

    def __init__(self, namespace: str, standby: Standby, all_owned: Callable[[], bool], clock: Clock) -> None:
        self._namespace, self._standby, self._all_owned, self._clock = namespace, standby, all_owned, clock
        self._asked: float | None = None
        self._done, self._moved = -1, 0.0
        self.over = False

    def may_join(self) -> bool:
        """Once true, always true. Called in the namespace's thread."""
        if not self.over:
            reason = self._reason()
            if reason:
                self.over = True
                log.info("joining", namespace=self._namespace, reason=reason)
        return self.over

    def _reason(self) -> str:
        """Why it may join now; empty if it should wait."""
        if self._standby.ready:
            return "the copies are up to date"
        now, done = self._clock.monotonic(), sum(it.done for it in self._standby.states())
        if self._done != done:
            self._done, self._moved = done, now
        if now - self._moved > STILL:
            return f"the copies made no progress for {STILL:.0f} s"
        if self._asked is None or now - self._asked >= ASK:
            self._asked = now
            try:
                if not self._all_owned():
                    return "not every partition has an owner"
            except BrokerError as error:
                log.info("it is unknown whether all partitions have owners", namespace=self._namespace, error=str(error))
        return ""
