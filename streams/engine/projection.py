"""Projections folded: accepted events in the order of their recorded time, into read-only tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.data import EventData, Record
from streams.engine.records import Codec
from streams.errors import DefinitionError
from streams.event import Event
from streams.projection import Projection


class Projecting:
    """`rows` holds each projection's table by name. A fold that raises leaves its table as it was."""

    def __init__(self, projections: Sequence[Projection[Any]], codec: Codec) -> None:
        self.projections, self.codec = projections, codec
        self.rows: dict[str, dict[str, Record]] = {projection.name: {} for projection in projections}

    def fold(self, event: Event[EventData]) -> None:
        """The event must have been accepted: what was rejected never happened."""
        for projection in self.projections:
            found = projection.folds_by.get(type(event.data))
            if found is None:
                continue
            key_of, function = found
            key, table = key_of(event), self.rows[projection.name]
            new = function(table.get(key), event)
            if new is None:
                table.pop(key, None)
            elif type(new) is projection.row_type:
                table[key] = self.codec.freeze(new)
            else:
                raise DefinitionError(
                    f"the projection {projection.name} folded {event.data.event_type} into {type(new).__name__}; "
                    f"its rows are {projection.row_type.__name__}"
                )
