"""How following goes: what of it has changed is told to those who answer."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from streams.history.recorded_event import NamespacePartition
from streams.server.readmodel.follower_report import FollowerReport, Tell
from streams.server.readmodel.lag_ages import LagAges

BEAT = 2.0
"""s after which something is told, though nothing has changed."""
STARTING = "the server has not read the tables and logs yet"


class FollowerState:
    """Used by the thread that follows. `tell` sends what has changed since it was called last."""

    def __init__(self, send: Tell) -> None:
        self.waits: str | None = STARTING
        self.behind: str | None = STARTING
        self.faults: dict[str, str] = {}
        self.stuck: dict[NamespacePartition, str] = {}
        """Of logs: what needs all of their events cannot be answered."""
        self.unread: dict[tuple[str, str, int], str] = {}
        """As stuck, of other topics, by kind, namespace and partition: what is answered of them grows old."""
        self.stopped: dict[str, str] = {}
        self.rebuilding: dict[str, int] = {}
        """Also of tables that are read again. Their lags are not told: they are not those of the rows that are answered."""
        self.reshaped: list[str] = []
        self.missing: list[str] = []
        self.held: dict[str, dict[str, int]] = {}
        """These as in Store."""
        self.folding: str | None = None
        """Why what is answered is not up to date, although everything is read."""
        self._to, self._sent, self._told = send, time.monotonic(), dict[str, Any]()
        self._ages, self._lags = LagAges(), dict[tuple[str, str, int], int]()
        self._measured: set[tuple[str, str, int]] = set()

    def _send(self, report: FollowerReport) -> None:
        self._sent = time.monotonic()
        self._to(report)

    def beat(self) -> None:
        """Who follows goes on: whoever hears nothing for long takes it for one that hangs."""
        if time.monotonic() - self._sent >= BEAT:
            self._send(FollowerReport())

    def measured(self, at: tuple[str, str, int], read: int, end: int) -> None:
        """`read` is the next offset of a partition, `end` where it ends now."""
        before = self._lags.get(at), self._ages.behind_since(at)
        self._lags[at] = max(0, end - read)
        self._ages.measured(at, read, end, time.monotonic())
        if before != (self._lags[at], self._ages.behind_since(at)):
            self._measured.add(at)

    def lag(self, at: tuple[str, str, int]) -> int:
        """As measured last."""
        return self._lags.get(at, 0)

    def begin_anew(self) -> None:
        """All is read again: nothing of what was told of the file, or of how far it was read, is true of the next one."""
        self.waits = self.behind = STARTING
        self.rebuilding, self.reshaped, self.missing, self.held, self.folding = {}, [], [], {}, None
        self.forget_stuck()

    def got_stuck(self, at: tuple[str, str, int], why: str) -> None:
        """Of a partition, by its topic's kind, that is not read on."""
        self.faults[_fault_of(at)] = why
        if at[0] == "log":
            self.stuck[at[1:]] = why
        else:
            self.unread[at] = why

    def goes_on(self, at: tuple[str, str, int]) -> None:
        """Of a partition that was stuck."""
        self.unread.pop(at, None)
        if at[0] == "log":
            self.stuck.pop(at[1:], None)
        self.faults.pop(_fault_of(at), None)

    def forget_stuck(self, but: Collection[NamespacePartition] = ()) -> None:
        """Logs but these, and all other topics: they are stuck again if they still are."""
        logs: list[tuple[str, str, int]] = [("log", *it) for it in self.stuck if it not in but]
        for at in [*logs, *self.unread]:
            self.goes_on(at)

    def opened(self, file: str, partitions: Mapping[str, int]) -> None:
        """There is a file to be read, of which nothing is known yet."""
        self._lags, self._ages, self._told = {}, LagAges(), {}
        self._send(FollowerReport(
            file=file, partitions=dict(partitions), waits=self.waits, behind=self.behind, rebuilding=dict(self.rebuilding),
            reshaped=[*self.reshaped], missing=[*self.missing], held=dict(self.held),
        ))  # fmt: skip

    def could_not_write(self) -> None:
        self._send(FollowerReport(store_errors=1))

    def tell(self, *, committed: bool = False, commit: float | None = None) -> None:
        """`commit` is how long a transaction took (s)."""
        now: dict[str, Any] = {
            "waits": self.waits, "behind": self.behind, "faults": dict(self.faults), "stopped": dict(self.stopped),
            "stuck": [(*at, why) for at, why in self.stuck.items()], "rebuilding": dict(self.rebuilding),
            "reshaped": [*self.reshaped], "missing": [*self.missing], "held": dict(self.held),
        }  # fmt: skip
        changed = {name: value for name, value in now.items() if name not in self._told or self._told[name] != value}
        measured = {at for at in self._measured if at[0] != "table" or at[1] not in self.rebuilding}
        lags = [(*at, self._lags[at], self._ages.behind_since(at)) for at in measured]
        if changed or lags or committed:
            self._told = now
            self._measured -= measured
            self._send(FollowerReport(lags=lags, committed=committed, commit=commit, **changed))


def _fault_of(at: tuple[str, str, int]) -> str:
    kind, namespace, number = at
    return f"{namespace}-{kind}-{number}"
