"""The rows of another generation that corrections reach: what its code makes of the history that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.engine.fold import CorrectedRows
from streams.engine.readable import named
from streams.engine.records import Entry
from streams.errors import HistoryError
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.rows_as_kept import version_in
from streams.history.past import Past
from streams.history.recorded_event import Place


class CorrectedGeneration:
    """`changes` are all corrections of the log, each applied to its end; `last` is the number of the last one.

    `handlers` are those of the new code.
    """

    def __init__(self, log: Past, handlers: ApplicationHandlers, changes: Sequence[Change], last: int) -> None:
        """Raises as `what_if`."""
        self._log, self._handlers, self.last = log, handlers, last
        change = merged(log, changes)
        self._corrected = CorrectedPast(log, handlers, change, applied=change)

    @property
    def past(self) -> Past:
        """The history that counts, as this code makes it where corrections reach it."""
        return self._corrected.past

    def rows(self, namespace: str, until: Mapping[int, int]) -> dict[int, CorrectedRows]:
        """By partition; `until` has the last sequence of the log of each. Raises HistoryError for one that is not known."""
        self._refuse_raised(namespace)
        found: dict[int, dict[str, Entry]] = {partition: {} for partition in until}
        for place, row in self._corrected.rows.items():
            if place[0] != namespace:
                continue
            if row.untold is not None:
                raise HistoryError(f"rows of {namespace} cannot be built from the corrected past: {row.untold.why}")
            if events := self._log.key_events(place):
                found[events[0].order.partition][place[1]] = row.row, version_in(self._log, self._handlers, place)
        return {partition: CorrectedRows(rows, until[partition]) for partition, rows in found.items()}

    def rows_elsewhere(self, namespace: str) -> list[Place]:
        """Rows of other namespaces that this code would have otherwise in the corrected past: they are not built with these."""
        return [it.place for it in self._corrected.different_rows() if it.place[0] != namespace]

    def _refuse_raised(self, namespace: str) -> None:
        for raised in self._corrected.difference.raised:
            if raised.event.namespace == namespace:
                raise HistoryError(
                    f"rows of {namespace} cannot be built from the corrected past: the handler of {raised.event.event_type} of "
                    f"{named(raised.event.key)} raises {raised.error} there. Correct the handler"
                )
