"""Detects that a producer's connection to its transaction coordinator was disturbed: then it makes no further transaction.

librdkafka resends an EndTxn by itself when its connection is lost, and only its log shows it. The first copy may still
arrive, and all transactions of a producer have one epoch, so a late copy would end the next one (rule 31).
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from streams.clock import SYSTEM, Clock
from streams.kafka.client_log import ClientLog

COORDINATOR = "TxnCoordinator"
"""librdkafka's name for that connection. At log levels 0 to 6 it is mentioned only when it is lost, or a request is refused."""
LOG_LEVEL = 6
STATISTICS_SECONDS = 1.0
"""The client's statistics have a granularity of 1 s, so they come too late to be the only signal."""


class CoordinatorConnection:
    """Watches one producer. Its callbacks run while that producer is polled, so poll it before reading `disturbed`."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.disturbances = 0
        self._ended = 0
        self._log = ClientLog(clock)

    @property
    def disturbed(self) -> bool:
        return self.disturbances > 0

    def options(self) -> dict[str, Any]:
        """Options that the producer must be made with. With other values events would be lost."""
        return {
            "logger": self,
            "log_level": LOG_LEVEL,
            "log.connection.close": True,
            "statistics.interval.ms": round(STATISTICS_SECONDS * 1000),
            "stats_cb": self.on_statistics,
        }

    def ending(self) -> None:
        """A transaction is about to be ended."""
        self._ended += 1

    def log(self, level: int, pattern: str, *parts: str) -> None:
        """As `logging.Logger.log`, for librdkafka. Messages below warning are read here and not logged."""
        if level >= logging.INFO and any(COORDINATOR in part for part in parts):  # at debug level each request is logged
            self.disturbances += 1
        if level >= logging.WARNING:
            self._log.log(level, pattern, *parts)

    def on_statistics(self, text: str) -> None:
        """A second check: more EndTxn requests were sent than transactions were ended."""
        brokers = _decoder.decode(text).brokers.values()
        if sum(broker.req.get("EndTxn", 0) for broker in brokers) > self._ended:
            self.disturbances += 1


class _Broker(msgspec.Struct):
    req: dict[str, int] = {}


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}


_decoder = msgspec.json.Decoder(_Statistics)
