"""The rows of another generation that corrections reach: what its code makes of the history that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from streams.engine.fold import CorrectedRows
from streams.engine.readable import named
from streams.engine.records import Entry
from streams.errors import HistoryError
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.rows_as_kept import version_in
from streams.history.difference.difference import OUTCOME, Difference, Origin, UntoldRow
from streams.history.past import Past, cause_of
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent


class CorrectedGeneration:
    """`changes` are all corrections of the log, each applied to its end; `last` is the number of the last one.

    `handlers` are those of the new code.
    """

    def __init__(self, log: Past, handlers: ApplicationHandlers, changes: Sequence[Change], last: int) -> None:
        """Raises as `what_if`."""
        self._log, self._handlers, self.last = log, handlers, last
        change = merged(log, changes)
        self._changes, self._again = changes, change.again
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
                raise HistoryError(
                    f"rows of {namespace} cannot be built from the corrected past: {row.untold.why}. A correction reaches that "
                    f"row, so what this code refuses there cannot be accepted{self._way_out(row.untold)}"
                )
            if events := self._log.key_events(place):
                found[events[0].order.partition][place[1]] = row.row, version_in(self._log, self._handlers, place)
        return {partition: CorrectedRows(rows, until[partition]) for partition, rows in found.items()}

    def _way_out(self, untold: UntoldRow) -> str:
        """Only what was published can be taken out."""
        if (refused := untold.recorded) is None:
            return ""
        root = refused
        while (cause := cause_of(self.past, root)) is not None:
            root = cause
        name = root.name if root.has_position else root.event.id
        which = "it" if root is refused else f"{root.event_type} {named(root.key)}, from which it follows,"
        return (
            f": take {which} out with the code that workers have (`retold correct plan --remove {name}`), and build then; or have "
            "this code decide it as it was"
        )

    @property
    def again(self) -> Set[str]:
        """The events of the log that corrections have decided again, by their exact names."""
        return self._again

    def complete(self, found: Difference, namespace: str) -> None:
        """Of what a replay of the log has `found` of a namespace, leave what is not made up for, and add what the log hides.

        What corrections take out or decide again is theirs. From their steps on a replay cannot tell a row that code of another
        generation has set; this code's is that of the corrected past.
        """
        gone = {it.order for it in self._corrected.difference.missing}
        found.untold = [it for it in found.untold if it.recorded is None or not self._is_theirs(it.recorded, gone)]
        found.origins = [it for it in found.origins if not self._is_theirs(it.recorded, gone)]
        known = {it.recorded.order for it in found.origins}
        found.origins += [it for it in self._origins_since(namespace) if it.recorded.order not in known]

    def _is_theirs(self, it: RecordedEvent, gone: Set[OrderKey]) -> bool:
        return it.kind == STEP or it.order in gone or it.exact_name in self._again

    def _origins_since(self, namespace: str) -> list[Origin]:
        """What this code decides otherwise of all that came when the corrections were applied.

        By then rows were what the code that decided it makes of the corrected past.
        """
        ends = [it.end for it in self._changes if it.end is not None]
        end = max([*ends, *(it.order for it in self._log.steps())], default=None)
        return [
            Origin(OUTCOME, it.recorded, it.now, None, None, None)
            for it in self._corrected.difference.changed
            if OUTCOME in it.what and it.recorded.namespace == namespace and (end is None or it.recorded.order > end)
            and it.recorded.exact_name not in self._again
        ]

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
