"""A projection as of now, without a server: folded from the history that counts, which corrections have made of the logs."""

from __future__ import annotations

from typing import Any

from streams.cli.process.opened_past import open_past
from streams.cli.process.session import Session
from streams.data import namespace_of
from streams.errors import HistoryError
from streams.history.past_tables import PastTables
from streams.kafka.corrections_topic import read_corrections
from streams.kafka.projected import ProjectionState, read_projection
from streams.projection import Projection


def read_counted(session: Session, projection: Projection[Any]) -> ProjectionState:
    """Raises as `read_projection`, and HistoryError if the corrected past cannot be told."""
    if not read_corrections(session.clients, session.config.prefix, session.app.name):
        return read_projection(session.clients, session.config.prefix, projection, session.codec)
    with open_past(session=session, with_unhandled=False) as opened:
        if opened.source.stuck:
            raise HistoryError(f"{projection.name} cannot be told, since not all of the past can be read: {opened.source.stuck[0]}")
        rows = PastTables(opened.counted, opened.handlers).of(projection.name)
        spaces = {namespace_of(data.event_type) for data in projection.folds_by}
        return ProjectionState(rows, {at: last for at, last in opened.past.last.items() if at[0] in spaces})
