"""Whether the steps of corrections in a log are what a worker wrote, and set their rows at the version that they say."""

from __future__ import annotations

from streams.engine.envelope import LogHeader
from streams.engine.step import step_of
from streams.errors import UndecodableRecord, UnsupportedSchema
from streams.history.recorded_event import NamespacePartition
from streams.history.verification.verification_decisions import DecisionCheck, LogTotals
from streams.history.verification.verification_findings import MISPLACED, Findings
from streams.history.verification.verification_markers import MarkerCheck
from streams.history.verification.verification_records import identity_of


class StepCheck:
    """Of one partition."""

    def __init__(
        self, at: NamespacePartition, findings: Findings, marker: MarkerCheck, decisions: DecisionCheck, totals: LogTotals
    ) -> None:
        self._at, self._findings, self._marker, self._decisions, self._totals = at, findings, marker, decisions, totals

    def take(self, value: bytes, key: bytes, sequence: int, header: LogHeader) -> None:
        """Raises UndecodableRecord for what is no step."""
        step = step_of(value)
        if step is None:
            raise UndecodableRecord("it is no step of a correction, and its outcome says so")
        if (step.namespace, step.entity.encode(), step.event_id) != (self._at[0], key, header.id):
            found = f"one of {step.entity[:100]!r} of {step.namespace[:100]!r}"
            self._findings.add(MISPLACED, self._at, "a step of this row, under its own id", found, sequence=sequence)
        try:
            self._decisions.step(step, sequence)
        except UnsupportedSchema as error:
            what = f"rows that this application cannot read ({error})"
            self._decisions.cannot_decide(step.entity, sequence, identity_of("", step.event_id), what)
        if sequence <= self._marker.end:
            self._totals.corrected += 1
            if sequence == self._marker.end:
                self._totals.at_marker = header.recorded
