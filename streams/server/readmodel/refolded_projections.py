"""Projections that are folded again beside following: those whose code has changed, new ones, and what a person asks for.

And those for which corrections have made another past of what they were folded from.
"""

from __future__ import annotations

import logging
import time

from streams.errors import UnsupportedSchema
from streams.kafka.messages import Decoder
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.projection_rebuild import ProjectionRebuild
from streams.server.readmodel.rebuild_requests import RebuildRequests
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.store_writer import StoreWriter

log = logging.getLogger("retold.server")
TURN = 0.05
"""s of folding between two looks at what is new."""
LOOK_EVERY = 0.5


class RefoldedProjections:
    """One rebuild at a time; used by the thread that follows."""

    def __init__(
        self, store: Store, writer: StoreWriter, state: FollowerState, decoder: Decoder, corrected: CorrectedFolds
    ) -> None:
        self._store, self._writer, self._state, self._decoder = store, writer, state, decoder
        self._corrected = corrected
        self._requests = RebuildRequests(store.file.parent)
        self._now: ProjectionRebuild | None = None
        self._looked = 0.0
        self._note()

    @property
    def is_busy(self) -> bool:
        """Whether a rebuild is under way."""
        return self._now is not None

    def step(self) -> None:
        """Fold for a moment, if there is anything to be folded again. Raises sqlite3.Error, and StoreDoubt."""
        if self._now is None:
            self._begin()
        if self._now is None:
            return
        names = ", ".join(self._now.names)
        deadline = time.monotonic() + TURN
        try:
            while self._now.step():
                if time.monotonic() >= deadline:
                    self._tell(self._now)
                    return
        except UnsupportedSchema as error:
            raise StoreDoubt(f"{names} cannot be folded again from it: {error}") from error
        if not self._writer.has_changes:  # else what is not in the file yet would be folded into what was there before
            self._finish(self._now)
            log.info("%s is folded again", names)

    def _begin(self) -> None:
        if not self._store.is_complete or self._store.new_namespaces:  # whose events have a place among those that are there
            return
        names = [*self._store.changed]
        names = [*{*names, *self._corrected.look()}]
        if not names and time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            names = [name for name in self._requests.names() if name in self._writer.projections]
        if names and (gone := self._corrected.not_foldable(names)):
            self._requests.done(names)
            raise StoreDoubt(f"{', '.join(gone)} cannot be folded again from it, since it does not keep old events")
        if names:
            self._corrected.folding(names)
            self._now = self._store.begin_rebuild(names, self._decoder, self._corrected.otherwise)
            for it in self._now.folding:
                self._writer.note_folds_of(it)
            self._tell(self._now)

    def _tell(self, rebuild: ProjectionRebuild) -> None:
        positions = self._writer.positions.items()
        percent = rebuild.percent({(ns, part): it.sequence for (kind, ns, part), it in positions if kind == "log"})
        self._state.rebuilding |= dict.fromkeys(rebuild.names, percent)
        self._requests.tell(rebuild.names, percent)
        self._note()
        if not self._writer.has_changes:
            self._state.tell()

    def _finish(self, rebuild: ProjectionRebuild) -> None:
        self._store.finish_rebuild(rebuild, self._writer)
        self._corrected.folded()
        self._now = None
        for name in rebuild.names:
            self._state.rebuilding.pop(name, None)
        self._requests.done(rebuild.names)
        self._note()
        self._state.tell(committed=True)

    def _note(self) -> None:
        store, state = self._store, self._state
        state.reshaped, state.missing, state.held = [*store.reshaped], [*store.missing], dict(store.held)
        names = ", ".join(store.changed)
        before, state.folding = state.folding, f"{names}: new, or of changed code, and folded from all logs" if names else None
        if before is not None and state.behind == before:
            state.behind = state.folding
