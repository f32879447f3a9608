"""A caller of gateways that calls nobody: it keeps what it is asked for, and a test says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from streams.engine.changes import Call
from streams.worker.caller import Result, Tenure


class Asked:
    """Has what `Pending` asks of a `Caller`; tests/unit/test_pending_results.py holds the two to the same signatures."""

    def __init__(self, done: Callable[[Result], None]) -> None:
        self.done, self.calls, self.went_on = done, list[Call](), list[tuple[str, list[str]]]()
        self.tenure = Tenure(0, 0)

    def submit(self, tenure: Tenure, calls: Iterable[Call]) -> None:
        self.tenure = tenure
        self.calls += calls

    def go_on(self, tenure: Tenure, key: str, pending: Collection[str]) -> None:
        self.went_on.append((key, sorted(pending)))

    def forget(self, tenure: Tenure) -> None:
        assert tenure == self.tenure

    def finish(self, seconds: float) -> None:
        """Nothing is in flight."""
