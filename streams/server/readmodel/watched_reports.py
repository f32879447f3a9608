"""Hands on what a process tells of following Kafka, and says so if it tells nothing: one that hangs would look up to date."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from streams.server.readmodel.fold_record import SlowFold
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import STARTING

log = logging.getLogger("retold.server")
SILENT: Final = 20.0
"""s without a report after which it is said. A process that goes on tells something every `BEAT` s; while a broker does not answer,
what it does in between may take several times as long."""
FAULT: Final = "follower"
FOLD: Final = "fold"


class FollowerListener(Protocol):
    """A ReadModel, or who tells several."""

    def take(self, report: FollowerReport) -> None:
        """What the process tells. Whatever it raises, the process is started again."""

    def fault(self, what: str, why: str) -> None:
        """Something is wrong with the process itself."""


class WatchedReports:
    """To be told by one thread, and to be asked by another, now and then, to look. `who` is silent, in words."""

    def __init__(self, model: FollowerListener, who: str, silent: float | None = None) -> None:
        self._model, self._who, self._silent = model, who, SILENT if silent is None else silent
        self._turn, self._heard, self._is_silent = threading.Lock(), time.monotonic(), False
        self._faults: Mapping[str, str] = {}
        self._fold: SlowFold | None = None
        self._behind: str | None = STARTING

    def begin(self) -> None:
        """Of another process from now on."""
        self._heard, self._is_silent, self._fold = time.monotonic(), False, None

    def take(self, report: FollowerReport) -> None:
        with self._turn:
            told = report.faults
            if report.file is not msgspec.UNSET:
                self._faults, told = {}, {} if told is msgspec.UNSET else told
            self._faults = self._faults if told is msgspec.UNSET else told
            self._behind = self._behind if report.behind is msgspec.UNSET else report.behind
            if self._is_silent:
                log.warning("%s tells again how it goes", self._who)
                report, told = msgspec.structs.replace(report, behind=self._behind), dict(self._faults)
            self._is_silent = False
            if told is not msgspec.UNSET:
                report = msgspec.structs.replace(report, faults=self._all_faults())
            self._model.take(report)
            self._heard = time.monotonic()

    def slow(self, fold: SlowFold | None) -> bool:
        """Say so if this fold does not return, and once it has. Never waits. Whether it is said for the first time."""
        if fold == self._fold or not self._turn.acquire(blocking=False):
            return False
        try:
            if fold is None:
                log.warning("%s goes on: %s returned", self._who, self._fold)
            else:
                log.error("%s. Its process writes below where it is", fold)
            self._fold = fold
            self._model.take(FollowerReport(faults=self._all_faults()))
        finally:
            self._turn.release()
        return fold is not None

    def _all_faults(self) -> dict[str, str]:
        return {**self._faults} if self._fold is None else {**self._faults, FOLD: str(self._fold)}

    def look(self) -> None:
        """Say so if nothing was told for long. Never waits."""
        if not self._turn.acquire(blocking=False):  # something is being told
            return
        try:
            seconds = time.monotonic() - self._heard
            if self._is_silent or seconds < self._silent:
                return
            self._is_silent = True
            since = datetime.fromtimestamp(time.time() - seconds, UTC)
            why = (
                f"{self._who} has told nothing since {since:%H:%M:%S} UTC: it hangs, or was stopped. What is there is answered, "
                "and grows old. If it stays so, restart the server"
            )
            log.error("%s", why)
            self._model.fault(FAULT, why)
        finally:
            self._turn.release()
