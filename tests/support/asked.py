"""A caller of gateways that calls nobody: it keeps what it is asked for, and a test says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from streams.engine.changes import KeptCall, PendingCall
from streams.worker.call_queues import Assignment, BodyWanted
from streams.worker.caller import CallResult


class Asked:
    """Has what `GatewayCalls` asks of a `Caller`; tests/unit/test_pending_results.py holds the two to the same signatures."""

    def __init__(self, done: Callable[[CallResult | BodyWanted], None]) -> None:
        self.done, self.calls, self.went_on = done, list[PendingCall](), list[tuple[str, list[str]]]()
        self.provided = list[Mapping[str, PendingCall | None]]()
        self.assignment = Assignment(0, 0)

    def submit(self, assignment: Assignment, calls: Iterable[KeptCall]) -> None:
        """Those whose bodies are not in memory are asked for."""
        self.assignment = assignment
        for call in calls:
            if isinstance(call, PendingCall):
                self.calls.append(call)
            else:
                self.done(BodyWanted(assignment, call.reference))

    def provide(self, assignment: Assignment, found: Mapping[str, PendingCall | None]) -> None:
        assert assignment == self.assignment
        self.provided.append(found)
        self.calls += [call for call in found.values() if call is not None]

    def trouble(self, partition: int) -> str:
        return ""

    def resume(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        self.went_on.append((key, sorted(pending)))

    def forget(self, assignment: Assignment) -> None:
        assert assignment == self.assignment

    def finish(self, seconds: float) -> None:
        """Nothing is in flight."""
