"""Folds accepted events, in the order of their recorded time, into projections: read-only tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.data import EventData, Record
from streams.engine.readable import shortened
from streams.engine.records import Codec
from streams.errors import DefinitionError
from streams.event import Event
from streams.projection import Projection


class Projector:
    """`rows` holds each projection's table by name. A fold that raises leaves its table as it was."""

    def __init__(self, projections: Sequence[Projection[Any]], codec: Codec) -> None:
        self.projections, self.codec = projections, codec
        self.rows: dict[str, dict[str, Record]] = {projection.name: {} for projection in projections}

    def fold(self, event: Event[EventData]) -> None:
        """Fold an event into the projections. It must have been accepted: a rejected event never happened."""
        for projection in self.projections:
            if type(event.data) in projection.folds_by:
                self.keep(projection, *self.change(projection, event))

    def keep(self, projection: Projection[Any], key: str, row: Record | None) -> None:
        """What `change` has given; None: the row is deleted."""
        if row is None:
            self.rows[projection.name].pop(key, None)
        else:
            self.rows[projection.name][key] = row

    def change(
        self, projection: Projection[Any], event: Event[EventData], rows: Mapping[str, Record] | None = None
    ) -> tuple[str, Record | None]:
        """The key and the new row (None: it is deleted) that a projection's fold returns for an event; changes nothing.

        `rows` are those that are kept elsewhere. Raises whatever the fold raises, and DefinitionError for a row of another class,
        or a key that is no text: no server could keep it.
        """
        key_of, function = projection.folds_by[type(event.data)]
        key = key_of(event)
        if not isinstance(key, str):
            raise _no_key(projection, event, key)
        new = function((self.rows[projection.name] if rows is None else rows).get(key), event)
        if new is None:
            return key, None
        if type(new) is projection.row_type:
            return key, self.codec.freeze(new)
        raise DefinitionError(
            f"the projection {projection.name} folded {event.data.event_type} into {type(new).__name__}; "
            f"its rows are {projection.row_type.__name__}"
        )


def _no_key(projection: Projection[Any], event: Event[EventData], key: object) -> DefinitionError:
    return DefinitionError(
        f"the projection {projection.name} gave the key {shortened(repr(key), 80)} for {event.data.event_type}; a text was "
        "expected: if the field may be nothing, say by what key such events are kept"
    )
