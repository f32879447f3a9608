"""Whether the markers of a table go forward, and whether the last one says what is recounted (rule 2)."""

from __future__ import annotations

from typing import NamedTuple

from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.history.recorded_event import NamespacePartition
from streams.history.verification.verification_findings import MARKER, Findings

FORWARD = ("last", "inbox_next", "recorded")


class Recount(NamedTuple):
    """What was counted up to the marker; None: it cannot be. `others` are duplicates and moved records together."""

    recorded: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    derived_rejected: int | None = None
    fired: int | None = None
    corrected: int | None = None
    quarantined: int | None = None
    control: int | None = None
    others: int | None = None
    calls: int | None = None
    timers: int | None = None
    emitted: int | None = None


class MarkerCheck:
    """Of one partition. `last` is None as long as nothing was handled there."""

    def __init__(self, at: NamespacePartition, findings: Findings, application: str, partitions: int) -> None:
        self._at, self._findings, self._application, self._partitions = at, findings, application, partitions
        self.last: Marker | None = None
        self.end = self.inbox_next = 0
        """The sequence up to which rows and counters are compared, and the offset where handling goes on."""

    def _add(self, expected: str, found: str) -> None:
        name = f"{self._at[0]}-{self._at[1]}'s marker"
        self._findings.add(MARKER, self._at, f"{name} to say {expected}", found, sequence=self.last.last if self.last else 0)

    def take(self, marker: Marker) -> None:
        before, self.last, self.end, self.inbox_next = self.last, marker, marker.last, marker.inbox_next
        if not 1 <= marker.first <= marker.last + 1:
            self._add(f"a first sequence from 1 to {marker.last + 1}", f"{marker.first}")
        if marker.application != self._application:
            self._add(f"the application {self._application}", marker.application)
        if marker.partitions != self._partitions:
            self._add(f"{self._partitions} partitions", f"{marker.partitions}")
        if before is None:
            return
        for name in FORWARD:
            if getattr(marker, name) < getattr(before, name):
                self._add(f"{name} {getattr(before, name)} or more, as the one before", f"{getattr(marker, name)}")
        if marker.first <= before.last:
            self._add(f"a first sequence after {before.last}, the last of the one before", f"{marker.first}")
        for name, least in vars(before.counters).items():
            if (count := getattr(marker.counters, name)) < least:
                self._add(f"{name} {least} or more, as the one before", f"{count}")

    def too_low(self, offset: int, sequence: int) -> None:
        """Its offset: an event that is in the log comes from one that is not handled yet, as it says."""
        name = f"{self._at[0]}-{self._at[1]}"
        self._add(f"an offset after {name}@{offset}, from which {name}:{sequence} came", f"{self.inbox_next}")

    def too_high(self, offset: int) -> None:
        """Its offset: the inbox ends before it."""
        self._add(f"an offset up to {self._at[0]}-{self._at[1]}@{offset + 1}, where the inbox ends", f"{self.inbox_next}")

    def compare(self, counted: Recount) -> None:
        """The last marker with what was counted. Only what could be counted is compared."""
        marker = self.last
        if marker is None:
            return
        counters: Counters = marker.counters
        others = counters.duplicates + counters.moved
        said = {"recorded": marker.recorded, "calls": marker.calls, "timers": marker.timers, "others": others}
        names = {"others": "duplicates and moved", "calls": "calls pending", "timers": "timers pending"}
        for name, count in counted._asdict().items():
            if count is not None and (there := said.get(name, getattr(counters, name, 0))) != count:
                self._add(f"{names.get(name, name)} {count}, as is counted", f"{there}")
        logged = counters.accepted + counters.rejected + counters.corrected
        if logged != marker.last and counted.accepted is None:
            self._add(f"accepted, rejected and corrected {marker.last} together", f"{logged}")

