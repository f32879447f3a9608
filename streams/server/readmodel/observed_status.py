"""The status of the application as it was seen last, so that no metric and no health check waits for Kafka."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaException

from streams.errors import StreamsError
from streams.kafka.status import Status

log = logging.getLogger("retold.server")
EVERY = 5.0
"""s between two looks."""
SEEN_WITHIN = 20.0
"""s after which a status is too old to say anything."""


class ObservedStatus:
    """`status` is None while nothing is known, also once what is known is too old. One thread writes, all others read.

    `why` says why the last look failed; empty if it did not.
    """

    def __init__(self) -> None:
        self.why = ""
        self._status: Status | None = None
        self._seen = self._began = time.monotonic()
        self._unowned: dict[tuple[str, int], float] = {}
        self.begun = False

    def begin(self) -> None:
        """Somebody will look from now on."""
        self.begun, self._seen = True, time.monotonic()

    def saw(self, found: Status) -> None:
        now = time.monotonic()
        alone = {(space.name, it.partition) for space in found.namespaces for it in space.partitions if it.owner is None}
        self._unowned = {at: self._unowned.get(at, now) for at in alone}
        self._status, self._seen, self.why = found, now, ""

    @property
    def status(self) -> Status | None:
        return None if self.is_old else self._status

    @property
    def is_old(self) -> bool:
        """Whether a look is under way, or has failed, for too long."""
        return self.begun and time.monotonic() - self._seen > SEEN_WITHIN

    @property
    def unowned(self) -> Mapping[tuple[str, int], float]:
        """For how long (s) partitions have had no worker, as far as it was seen."""
        now = time.monotonic()
        return {at: now - since for at, since in self._unowned.items()}


class StatusObserver:
    """Looks every few seconds until `stopped`. `look` may block for seconds."""

    def __init__(self, look: Callable[[], Status], observed: ObservedStatus) -> None:
        self._look, self._observed = look, observed

    def run(self, stopped: threading.Event) -> None:
        self._observed.begin()
        while not stopped.is_set():
            try:
                self._observed.saw(self._look())
            except (StreamsError, KafkaException) as error:
                self._observed.why = str(error)
                log.debug("the status of the application is not known: %s", error)
            except BaseException:  # nothing else would notice the end of this thread
                self._observed.why = "a fault of the server's own; its log says more"
                log.exception("reading the status of the application failed; retrying")
            stopped.wait(EVERY)
