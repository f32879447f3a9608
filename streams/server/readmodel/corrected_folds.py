"""What projections fold otherwise than the logs have it, since the past was corrected.

The history that counts is computed on what the file has, when that has grown or a correction has come. As long as it differs from
the logs in the same events, what comes is folded as it comes; when it differs in others, all is folded again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from streams.app import App
from streams.codec import AvroCodec
from streams.data import namespace_of
from streams.errors import BrokerError, HistoryError, StreamsError
from streams.history.branch.branch_queue import END
from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE, FoldedOtherwise, folded_otherwise
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.cut_past import moment_text
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.kafka.corrections_topic import APPLIED, CorrectionState
from streams.server.readmodel.corrected_note import (
    NOT_KNOWN,
    folded_as,
    note_settled,
    note_uncorrected,
    settled,
    settled_types,
    uncorrected,
)
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.left_out import left_out_namespaces
from streams.server.readmodel.projection_rebuild import types_of
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_writer import StoreWriter

log = logging.getLogger("retold.server")
LOOK_EVERY, ASK_EVERY = 0.2, 5.0
"""s from one look at what has come to the next, and from one question for new corrections to the next."""
AGAIN = "it is folded again"
TOO_OLD = (
    "corrections have changed what it was folded from, and it cannot be folded again: the setting `history` does not keep all of "
    "its events"
)
NOT_WHOLE = "a part of what corrections make of the past cannot be told"
NOT_APPLIED = "a correction is not applied to its end"
BEHIND = "not all is read yet that a correction was planned on"
"""Why a projection is not as corrections make it."""
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
        self._handlers = ApplicationHandlers(app, codec)
        self._types = {it.name: types_of(it) for it in app.projections}
        self.otherwise = NOTHING_OTHERWISE
        """What is to be folded otherwise than the logs have it, if that `_is_known`."""
        self._is_known = False
        self._states: Sequence[CorrectionState] = ()
        self._seen: object = None
        """What the file and the corrections were when it was computed."""
        self._steps, self._next, self._asked = -1, 0.0, 0.0
        self._said = ""

    def look(self) -> Collection[str]:
        """The projections that are to be folded again, with what is `otherwise` now. Raises sqlite3.Error."""
        now = time.monotonic()
        if not self._types or now < self._next or self._writer.has_changes or not self._store.is_complete:
            return ()
        self._next = now + LOOK_EVERY
        self._ask(now)
        seen = self._writer.logged, [(it.correction, it.state) for it in self._states]
        if seen == self._seen:
            return ()
        self._seen = seen
        differ = list[str]()
        self._store.write(lambda db: differ.extend(self._compare(db)))
        self._next = max(self._next, now + SHARE * (time.monotonic() - now))
        return differ

    def _compare(self, db: sqlite3.Connection) -> Collection[str]:
        """Those that can be folded again, of what counts now; and note which are not as that has them, and why."""
        if not (self._states or folded_as(db) or uncorrected(db)):
            return ()
        found = self._computed(db)
        if found is None:  # what was right once all was applied, is so: from there on the logs have what counts
            if (digest := self._corrections_digest()) and settled(db) == digest:
                self._note(db, {name: why for name, why in uncorrected(db).items() if why == NOT_KNOWN})
            else:
                self._note(db, dict.fromkeys(self._types, self._said or BEHIND))
            return ()
        self.otherwise, self._is_known, before = found.otherwise, True, folded_as(db)
        differ = [name for name, of in self._types.items() if self.otherwise.of(of).digest != before.get(name, "")]
        too_old = self.not_foldable(differ)
        foldable = [name for name in differ if name not in too_old]
        why = {} if found.whole else dict.fromkeys(self._types, NOT_WHOLE)
        if any(it.state != APPLIED for it in self._states):
            why = dict.fromkeys(self._types, NOT_APPLIED)
        why |= {name: TOO_OLD if name in too_old else AGAIN for name in differ}
        self._note(db, why)
        if not why and (digest := self._corrections_digest()):
            gone, come = found.otherwise
            note_settled(db, digest, {it.event_type for it in (*gone.values(), *come)})
        return foldable

    def not_foldable(self, names: Iterable[str]) -> list[str]:
        """Those that fold events of namespaces of which some are not kept. Raises sqlite3.Error."""
        gone = set[str]()
        self._store.write(lambda db: gone.update(left_out_namespaces(db)))
        return [name for name in names if not gone.isdisjoint(map(namespace_of, self._types[name]))]

    def _corrections_digest(self) -> bytes:
        """Of those that are applied to their end, by which what counts changes no more; empty while one is not, and for none."""
        if any(it.state != APPLIED for it in self._states):
            return b""
        return " ".join(it.correction for it in self._states).encode()

    def _note(self, db: sqlite3.Connection, why: Mapping[str, str]) -> None:
        if note_uncorrected(db, why):
            self._state.tell(committed=True)

    def folding(self, names: Collection[str]) -> None:
        """These are about to be folded again: note it if that is not done as corrections have it. Raises sqlite3.Error."""

        def note(db: sqlite3.Connection) -> None:
            otherwise = settled_types(db)
            wrong = [name for name in names if not self._types[name].isdisjoint(otherwise)]
            self._note(db, {**uncorrected(db), **dict.fromkeys(wrong, NOT_KNOWN)})

        if not self._is_known:
            self._store.write(note)

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
        otherwise = folded_otherwise(past, counts.past, counts.rows.keys())
        kept_from, begins = past.left_out_until(), counts.begins
        if kept_from is not None and begins is not None and begins.recorded <= kept_from:
            raise HistoryError(
                f"events recorded up to {moment_text(kept_from)} are not all kept, by the setting `history`, and corrections "
                "change what followed from earlier ones"
            )
        is_placed = all(it.order.recorded != END for it in otherwise.come)
        return _CountedHistory(otherwise, is_placed and not (counts.difference.raised or counts.difference.untold))
