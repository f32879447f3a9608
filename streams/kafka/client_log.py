"""librdkafka's log messages, for the logger `retold.kafka`."""

from __future__ import annotations

import logging
import re

from streams.clock import SYSTEM, Clock

log = logging.getLogger("retold.kafka")
# Without a handler of its own, Python prints the warnings of a program that has not set up logging.
logging.getLogger("retold").addHandler(logging.NullHandler())

REPEAT = 10.0


class ClientLog:
    """The log of one client. A message that was logged within the last 10 s is dropped, else a lost broker fills the log."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._logged: dict[str, float] = {}

    def log(self, level: int, pattern: str, *parts: str) -> None:
        """As `logging.Logger.log`, with warning as the highest level: fatal errors reach the caller as exceptions."""
        now, message = self._clock.monotonic(), re.sub(r"[0-9]+ms", "", str(parts))
        if now - self._logged.get(message, -REPEAT) >= REPEAT:
            self._logged = {text: at for text, at in self._logged.items() if now - at < REPEAT} | {message: now}
            log.log(min(level, logging.WARNING), pattern, *parts)
