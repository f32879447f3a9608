"""Fills in the high-water times of what a server has read, as far as nothing can come before it any more."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from streams.errors import BrokerError
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_plan import schema_ids_of
from streams.history.stored.stored_corrections import put_corrections
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.renewed_client import Admin
from streams.server.readmodel.frontier import Frontier
from streams.server.readmodel.left_out import leave_out
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier

log = logging.getLogger("retold.server")
TIMEOUT = 1.0
"""s that the broker has to tell the ends of the logs."""


class HighWaterFiller:
    """`logs` has the namespace by its log's topic; of the `partitions` only those of logs matter.

    `corrections` gives those of the application, and may raise BrokerError. They are kept with the frontier: what is told as it was
    known then is told with those that were known; and so are the schemas of their events, which `schemas` gives by their ids.
    """

    def __init__(
        self, admin: Admin, logs: Mapping[str, str], partitions: Sequence[TopicAndPartition],
        corrections: Callable[[], Sequence[KnownCorrection]],
        schemas: Callable[[Iterable[int]], Mapping[int, str]] = lambda _: {},
    ) -> None:  # fmt: skip
        self._admin, self._partitions = admin, [at for at in partitions if at[0] in logs]
        self._corrections, self._schemas = corrections, schemas
        self._frontier = Frontier({topic: ("log", namespace) for topic, namespace in logs.items()})
        self._steps = 0
        self.lost: str | None = None
        """What is wrong with the corrections, as it was found last; None: nothing."""

    def fill(self, store: Store, seconds: float) -> None:
        """For so long at most; what is left is filled in the next time, and so are checkpoints. Raises sqlite3.Error."""
        deadline = time.monotonic() + seconds
        store.write(lambda db: self._fill(db, deadline))
        store.make_checkpoints(deadline)
        if before := store.limit.before():
            store.write(lambda db: leave_out(db, before, lambda: store.make_checkpoints(deadline), deadline))

    def follow(self, store: Store, steps: int) -> None:
        """Keep corrections as soon as a step of one was read: what it has changed is not told without them. Raises sqlite3.Error.

        `steps` counts those that were read. If the broker does not answer, `fill` keeps them.
        """
        if steps != self._steps and store.is_complete:
            self._steps = steps
            store.write(self._keep)

    def _keep(self, db: sqlite3.Connection) -> None:
        try:
            corrections = self._corrections()
            self.lost = put_corrections(db, corrections, self._schemas_of(corrections))
        except BrokerError as error:
            log.debug("the corrections are not known now: %s", error)

    def _fill(self, db: sqlite3.Connection, deadline: float) -> None:
        try:
            self._frontier.measure(self._admin, self._partitions, timeout=TIMEOUT)
            corrections = self._corrections()
            schemas = self._schemas_of(corrections)
        except BrokerError as error:
            log.debug("the ends of the logs, or the corrections, are not known now: %s", error)
            return
        until = self._frontier.of(db)
        while time.monotonic() < deadline:
            if not fill_high_water(db, until):
                put_frontier(db, until)
                self.lost = put_corrections(db, corrections, schemas)
                return

    def _schemas_of(self, corrections: Sequence[KnownCorrection]) -> Mapping[int, str]:
        return self._schemas(schema_ids_of(it.change for it in corrections))
