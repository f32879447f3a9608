"""The file of a server that follows a past which is corrected while it goes on, with projections that feel order and outcome.

The order of events of one row, or none: events of several rows are folded as they come, and that is not always as they are told.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from streams import App, Event, Projection
from streams.codec import codec_of
from streams.data import EventData, Record
from streams.history.past_tables import PastTables
from streams.kafka.corrections_topic import APPLIED, APPLYING, CorrectionState
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.corrected_note import folded_as, uncorrected
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.refolded_projections import RefoldedProjections
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.store import Store
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.corrections import Corrected
from tests.support.pasts import log_of
from tests.support.stored_pasts import log_message

Rows = Mapping[str, Mapping[str, Record]]


def told_in_order(app: App) -> Projection[Any]:
    """Its row by each row of the application is another one for each other order of that one's accepted events."""
    made = Projection("told_in_order", row=OrdersPerDayRow)

    def fold(row: OrdersPerDayRow | None, event: Event[EventData]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=hash_of(0 if row is None else row.count, event))

    for data in app.event_types().values():
        made.folds(data, key=lambda event: f"{event.data.event_type.partition('.')[0]}/{event.key}")(fold)
    return made


def counted_by_type(app: App) -> Projection[Any]:
    """How many of each type there are."""
    made = Projection("counted_by_type", row=OrdersPerDayRow)

    def fold(row: OrdersPerDayRow | None, event: Event[EventData]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=1 if row is None else row.count + 1)

    for data in app.event_types().values():
        made.folds(data, key=lambda event: event.data.event_type)(fold)
    return made


def hash_of(before: int, event: Event[EventData]) -> int:
    return random.Random(f"{before} {event.id} {event.data}").getrandbits(30)


def with_such_projections(here: Any) -> None:
    """Before it is corrected: of these partitions."""
    here.app = replace(here.app, projections=[told_in_order(here.app), counted_by_type(here.app)])
    here.codec = codec_of(here.app)


class Followed:
    """Follows what `here` has logged. `applied` says whether its corrections are applied to their end."""

    def __init__(self, here: Corrected, folder: Path) -> None:
        self._here, self._folder, self.applied = here, folder, False
        self.reports: list[FollowerReport] = []
        self.folded: list[str] = []
        """Digests of what was folded otherwise than the logs have it, each time that all was folded again."""
        self._open()

    def _open(self) -> None:
        there = self._here.there
        self.store = Store(self._folder, "", there.app, there.codec)
        self.store.open()
        if not self.store.partitions:
            self.store.partitions = dict.fromkeys(there.engines, there.count)
            self.store._set(partitions=msgspec.json.encode(self.store.partitions))
        self._state = FollowerState(self.reports.append)
        self.writer = self.store.writer()
        self._logs = LogFollower(self.writer, there.codec, [*there.images])
        for at in there.images:
            self._logs.merge.ended(at)
        corrected = CorrectedFolds(self.store, self.writer, self._state, there.app, there.codec, self.corrections)
        self._again = RefoldedProjections(self.store, self.writer, self._state, there.codec, corrected)

    def corrections(self) -> Sequence[CorrectionState]:
        state = APPLIED if self.applied else APPLYING
        app = self._here.there.app.name
        stored = enumerate(self._here.stored, 1)
        return [CorrectionState(app, f"c{number}", number, "ann", "a test", it, state, 0, 0) for number, it in stored]

    def take(self, most: int | None = None) -> None:
        """What was logged and is not in the file yet, in the order of time; at most so many records."""
        order = {it.order[1:4]: it.order for it in self._here.log.events()}
        fresh = [it for it in log_of(self._here.there) if it[2] > self._sequence(it[0], it[1])]
        for namespace, partition, sequence, key, value, headers in sorted(fresh, key=lambda it: order[it[:3]])[:most]:
            self._logs.take((namespace, partition), log_message(namespace, partition, sequence, key, value, headers))
        self._logs.flush()
        self.writer.commit()
        self.store.completed()

    def _sequence(self, namespace: str, partition: int) -> int:
        found = self.writer.positions.get(("log", namespace, partition))
        return 0 if found is None else found.sequence

    def step(self) -> None:
        """A moment of folding again, if there is anything to fold."""
        self._again.step()
        now = " ".join(folded_as(self.store._db).values())
        if not self._again.is_busy and now != (self.folded or [""])[-1]:
            self.folded.append(now)

    def settle(self) -> None:
        """Until nothing is folded again."""
        idle = 0
        for _ in range(2_000):
            self.step()
            idle = 0 if self._again.is_busy else idle + 1
            if idle == 2:
                return
        raise AssertionError("projections are folded again and again")

    def restart(self) -> None:
        self.store.close()
        self._open()

    def close(self) -> None:
        self.store.close()

    @property
    def says_corrected(self) -> bool:
        """Whether its answers are those of the history that counts."""
        return not uncorrected(self.store._db)

    def rows(self) -> Rows:
        found = dict[str, dict[str, Record]]()
        for it in self._here.there.app.projections:
            decoder = RowDecoder(it.row_type, self._here.there.codec)
            rows = self.store._db.execute(f"select key, body, raw from p_{it.name}").fetchall()
            found[it.name] = {key: decoder.row(body, raw) for key, body, raw in rows}
        return found

    def counted(self) -> Rows:
        """A fresh fold of the history that counts."""
        here = self._here
        return {name: dict(rows) for name, rows in PastTables(here.past, here.handlers).projections.items()}
