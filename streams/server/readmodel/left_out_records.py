"""Records of logs that are too old to be kept, by the setting `history`, as they are read from Kafka."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from streams.history.high_water import LEAST
from streams.history.recorded_event import ROOT
from streams.server.readmodel.left_out import PUT, PUT_ID, PUT_LOG, PUT_TIMES
from streams.server.readmodel.log_record import ALWAYS, NAMES, LogRecord

KNOWN_AHEAD = "select max(time) from record where time > recorded and recorded < ? and time >= ?"
"""What was read before and is of the future: what follows from it is not looked for, so it may be left out."""
LAST = "select max(recorded) from left_out_log"
TIME, IDH, KIND = (NAMES.index(name) for name in ("time", "idh", "kind"))


class LeftOutRecords:
    """What is left out of what is read, until it is noted. Used by one thread.

    An old record that depends on a later time than `before` is kept: one that is itself of the future, and all that comes behind
    it in its key, and follows from it. So no high-water time of what is left out is as late as `before`.
    """

    def __init__(self, db: sqlite3.Connection, before: int) -> None:
        """Of what was recorded, and happened, before this time (µs since 1970); 0: nothing. Raises sqlite3.Error."""
        self.before = before
        self._keys: dict[tuple[str, str], int] = {}
        self._logs: dict[tuple[str, int], tuple[int, int]] = {}
        self._ids: list[tuple[int]] = []
        """What is left out: keys and logs with their last ones, and published ones by id."""
        self._ahead: dict[tuple[str, str] | int, int] = {}
        """By key, and by id: the time that what comes behind it, or follows from it, depends on."""
        [known] = db.execute(KNOWN_AHEAD, (before, before)).fetchone() if before else [None]
        [last] = db.execute(LAST).fetchone() if before else [None]
        self._latest, self._noted = before if known is None else known + 1, 0
        """Nothing that is left out depends on a time as late as this one; and the one that is noted."""
        self._last: tuple[Any, ...] | None = None if last is None else (last + 1,)
        """Behind what was left out so far, in the total order; None: nothing was."""

    def without(self, records: Iterable[LogRecord]) -> Iterable[LogRecord]:
        """Those that are kept; the others are noted by `write`."""
        if not self.before:
            return records
        kept, before = list[LogRecord](), self.before
        for it in records:
            if it[0] >= before:
                kept.append(it)
            elif (depends_on := self._depends_on(it)) >= before:
                kept.append(it)
                self._note_ahead(it, depends_on)
            else:
                self._leave_out(it)
        return kept

    def _depends_on(self, it: LogRecord) -> int:
        """The latest time that an old record is known to depend on (µs)."""
        time: int = it[TIME]
        if not self._ahead:
            return time
        cause = self._ahead.get(it[ALWAYS], LEAST) if len(it) > ALWAYS else LEAST
        return max(time, cause, self._ahead.get((it[1], it[5]), LEAST))

    def _note_ahead(self, it: LogRecord, depends_on: int) -> None:
        self._ahead[it[1], it[5]] = depends_on
        self._ahead[it[IDH]] = max(depends_on, self._ahead.get(it[IDH], LEAST))
        if self._last is not None and it[:4] < self._last:  # what follows from it may have been read before it, and left out
            self._latest = max(self._latest, depends_on + 1)

    def _leave_out(self, it: LogRecord) -> None:
        recorded, namespace, part, sequence, _, key = it[:6]
        self._keys[namespace, key] = sequence
        self._logs[namespace, part] = sequence, recorded
        if it[KIND] == ROOT:
            self._ids.append((it[IDH],))
        place = it[:4]
        self._last = place if self._last is None else max(self._last, place)

    def write(self, db: sqlite3.Connection) -> None:
        """Within a transaction, once what is kept is written. Raises sqlite3.Error."""
        if self._last is not None and self._latest > self._noted:
            db.execute(PUT_TIMES, (self._latest,))
            self._noted = self._latest
        db.executemany(PUT, [(*at, sequence) for at, sequence in self._keys.items()])
        if self._keys:  # their rows are to be kept (rows_at_limit.py)
            db.execute("delete from meta where name = 'rows_at_limit'")
        db.executemany(PUT_LOG, [(*at, *last) for at, last in self._logs.items()])
        db.executemany(PUT_ID, self._ids)

    def written(self) -> None:
        """The transaction has ended."""
        self._keys.clear()
        self._logs.clear()
        self._ids.clear()
