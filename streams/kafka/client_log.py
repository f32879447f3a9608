"""What librdkafka has to say, for the logger `retold.kafka`."""

from __future__ import annotations

import logging
import re

from streams.clock import SYSTEM, Clock

log = logging.getLogger("retold.kafka")
# Without a handler of its own, Python prints the warnings of a program that has not set up logging.
logging.getLogger("retold").addHandler(logging.NullHandler())

REPEAT = 10.0


class ClientLog:
    """What one client logs: a message that was logged within the last 10 s is left out, or a lost broker fills the log."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._logged: dict[str, float] = {}

    def log(self, level: int, pattern: str, *parts: str) -> None:
        """As `logging.Logger.log`. At most a warning: what cannot be mended reaches the caller as an exception."""
        now, message = self._clock.monotonic(), re.sub(r"[0-9]+ms", "", str(parts))
        if now - self._logged.get(message, -REPEAT) >= REPEAT:
            self._logged = {text: at for text, at in self._logged.items() if now - at < REPEAT} | {message: now}
            log.log(min(level, logging.WARNING), pattern, *parts)
