"""Folds an event of the past into a projection, whose function may raise anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from streams.data import Record
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.errors import HistoryError
from streams.history.recorded_event import RecordedEvent
from streams.history.unread_event import refuse_unread
from streams.projection import Projection


def folded(
    projector: Projector, projection: Projection[Any], it: RecordedEvent, rows: Mapping[str, Record]
) -> tuple[str, Record | None]:
    """The key and its row behind an event; None: it is deleted.

    Raises HistoryError that names projection and event, also for what would end the process, such as SystemExit.
    """
    refuse_unread(projection, it)
    try:
        return projector.change(projection, it.event, rows)
    except (sqlite3.Error, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise HistoryError(
            f"the projection {projection.name} cannot be told: it raised {in_a_line(error)} at {it.event_type}, {it.name}"
        ) from error
