"""A caller of gateways that calls nobody: it keeps what it is asked for, and a test says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from streams.engine.changes import PendingCall
from streams.worker.caller import Assignment, CallResult


class Asked:
    """Has what `GatewayCalls` asks of a `Caller`; tests/unit/test_pending_results.py holds the two to the same signatures."""

    def __init__(self, done: Callable[[CallResult], None]) -> None:
        self.done, self.calls, self.went_on = done, list[PendingCall](), list[tuple[str, list[str]]]()
        self.assignment = Assignment(0, 0)

    def submit(self, assignment: Assignment, calls: Iterable[PendingCall]) -> None:
        self.assignment = assignment
        self.calls += calls

    def trouble(self, partition: int) -> str:
        return ""

    def resume(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        self.went_on.append((key, sorted(pending)))

    def forget(self, assignment: Assignment) -> None:
        assert assignment == self.assignment

    def finish(self, seconds: float) -> None:
        """Nothing is in flight."""
