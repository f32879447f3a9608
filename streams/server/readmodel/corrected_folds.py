"""What projections fold otherwise than the logs have it, since the past was corrected.

The history that counts is computed on what the file has, when that has grown or a correction has come. As long as it differs from
the logs in the same events, what comes is folded as it comes; when it differs in others, all is folded again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streams.app import App
from streams.codec import AvroCodec
from streams.errors import BrokerError, StreamsError
from streams.history.branch.branch_queue import END
from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE, FoldedOtherwise, folded_otherwise
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.kafka.corrections_topic import APPLIED, CorrectionState
from streams.server.readmodel.corrected_note import folded_as, is_uncorrected, note_uncorrected
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_writer import StoreWriter

log = logging.getLogger("retold.server")
LOOK_EVERY, ASK_EVERY = 0.2, 5.0
"""s from one look at what has come to the next, and from one question for new corrections to the next."""
SHARE = 10
"""Of the time, one part in so many is spent on computing the history that counts: new records come first."""


class _CountedHistory(NamedTuple):
    """How it differs from the logs; `whole`: all of it could be told."""

    otherwise: FoldedOtherwise
    whole: bool


class CorrectedFolds:
    """Used by the thread that follows. `corrections` reads those of the application, and raises BrokerError."""

    def __init__(
        self, store: Store, writer: StoreWriter, state: FollowerState, app: App, codec: AvroCodec,
        corrections: Callable[[], Sequence[CorrectionState]] = tuple,
    ) -> None:  # fmt: skip
        self._store, self._writer, self._state = store, writer, state
        self._codec, self._corrections = codec, corrections
        self._handlers, self._folds = ApplicationHandlers(app, codec), bool(app.projections)
        self.otherwise = NOTHING_OTHERWISE
        """What is to be folded otherwise than the logs have it, as far as it is known."""
        self._states: Sequence[CorrectionState] = ()
        self._seen: object = None
        """What the file and the corrections were when it was computed."""
        self._steps, self._next, self._asked = -1, 0.0, 0.0
        self._said = ""

    def look(self) -> bool:
        """Whether projections are to be folded again, with what is `otherwise` now. Raises sqlite3.Error."""
        now = time.monotonic()
        if not self._folds or now < self._next or self._writer.has_changes or not self._store.is_complete:
            return False
        self._next = now + LOOK_EVERY
        self._ask(now)
        seen = self._writer.logged, [(it.correction, it.state) for it in self._states]
        if seen == self._seen:
            return False
        self._seen = seen
        differs: list[bool] = []
        self._store.write(lambda db: differs.append(self._compare(db)))
        self._next = max(self._next, now + SHARE * (time.monotonic() - now))
        return any(differs)

    def _compare(self, db: sqlite3.Connection) -> bool:
        """Whether what counts is another one than was folded, and note whether it is."""
        if not (self._states or folded_as(db) or is_uncorrected(db)):
            return False
        found = self._computed(db)
        if found is None or self._writer.leaves_out:  # without old events nothing can be folded again
            self._note(db, uncorrected=True)
            return False
        self.otherwise = found.otherwise
        differs = self.otherwise.digest != folded_as(db)
        is_applied = all(it.state == APPLIED for it in self._states)
        self._note(db, uncorrected=differs or not (found.whole and is_applied))
        return differs

    def _note(self, db: sqlite3.Connection, *, uncorrected: bool) -> None:
        if note_uncorrected(db, uncorrected=uncorrected):
            self._state.tell(committed=True)

    def folded(self) -> None:
        """Projections were folded again: look whether that is what counts by now."""
        self._seen, self._next = None, 0.0

    def _ask(self, now: float) -> None:
        """For new corrections, at once if a step of one has come."""
        if self._writer.steps == self._steps and now - self._asked < ASK_EVERY:
            return
        try:
            self._states = self._corrections()
            self._steps, self._asked = self._writer.steps, now
        except BrokerError as error:
            self._asked, self._steps = now, self._writer.steps
            log.debug("the corrections are not known now: %s", error)

    def _computed(self, db: sqlite3.Connection) -> _CountedHistory | None:
        """None if it cannot be told, or the file is not as far yet as the corrections that were planned elsewhere."""
        try:
            return self._of(db)
        except StreamsError as error:
            if str(error) != self._said:
                self._said = str(error)
                log.warning("projections do not follow the corrections of the past: %s", error)
            return None

    def _of(self, db: sqlite3.Connection) -> _CountedHistory | None:
        learn_schemas(db, self._codec)
        past = StoredPast(db, self._codec)
        refuse_unknown(past, {it.correction for it in self._states})
        if not self._states:
            return _CountedHistory(NOTHING_OTHERWISE, whole=True)
        changes, end = [it.change.read(self._codec) for it in self._states], past.end()
        if any(it.end is not None and (end is None or end < it.end) for it in changes):
            return None
        counts = CorrectedPast(past, self._handlers, merged(past, changes))
        otherwise = folded_otherwise(past, counts.past, counts.reached)
        is_placed = all(it.order.recorded != END for it in otherwise.come)
        return _CountedHistory(otherwise, is_placed and not (counts.difference.raised or counts.difference.untold))
