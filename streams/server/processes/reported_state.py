"""All that the follower has told, in one report: a process that is started later is told no less than the others."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.server.readmodel.commit_times import CommitTimes
from streams.server.readmodel.follower_report import FollowerReport, Lag
from streams.server.readmodel.follower_state import STARTING

STANDING = ("waits", "behind", "faults", "stuck", "stopped", "rebuilding", "reshaped", "missing", "held")
"""What is told whenever it changes, and holds until then."""


class ReportedState:
    """To be used by one thread at a time."""

    def __init__(self) -> None:
        self._standing: dict[str, Any] = {}
        self._lags: dict[tuple[str, str, int], Lag] = {}
        self._commits = CommitTimes()

    def take(self, report: FollowerReport) -> None:
        if report.file is not msgspec.UNSET:
            self._standing, self._lags = {"file": report.file, "partitions": report.partitions}, {}
        told = ((name, getattr(report, name)) for name in STANDING)
        self._standing |= {name: value for name, value in told if value is not msgspec.UNSET}
        self._lags |= {(each[0], each[1], each[2]): each for each in report.lags}
        self._commits.take(report.commit, report.store_errors)

    def fault(self, what: str, why: str) -> FollowerReport:
        """As in ReadModel. The report that says so, and no more: nobody is to open the file again for it."""
        report = FollowerReport(faults={**self._standing.get("faults", {}), what: why}, behind=why)
        self.take(report)
        return report

    @property
    def waits(self) -> str | None:
        """Why nothing can be answered yet."""
        waits: str | None = self._standing.get("waits", STARTING)
        return waits

    def whole(self) -> FollowerReport:
        """What a process is told first."""
        return FollowerReport(
            **self._standing, lags=[*self._lags.values()], committed="file" in self._standing, before=self._commits.totals
        )
