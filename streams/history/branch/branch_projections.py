"""How the rows of projections differ in a branch: those that the events feed which only one of both pasts has."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streams.data import Record, namespace_of
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import Codec
from streams.errors import HistoryError
from streams.history.branch.folded_otherwise import FoldedOtherwise, folded_otherwise
from streams.history.past import Past, refuse_erased
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.unread_event import is_folded, refuse_unread
from streams.projection import Projection

Reached = Mapping[str, bool]
"""The keys of a projection's rows that may be otherwise; true for one that only events lead to that wait for an answer."""


class ProjectionChange(NamedTuple):
    """A projection's row at the end of both pasts; None: there is none. An `open` one depends on an answer that is not known."""

    projection: str
    key: str
    before: Record | None
    after: Record | None
    open: bool = False


class ProjectionChanges(NamedTuple):
    """`untold` says by name why the rows of a projection are not known."""

    changes: Sequence[ProjectionChange]
    untold: Mapping[str, str]


NOTHING_FOLDED = ProjectionChanges((), {})


def projection_changes(
    past: Past,
    branch: Past,
    reached: Collection[Place],
    projections: Sequence[Projection[Any]],
    codec: Codec,
    *,
    waiting: Collection[str] = (),
    most: int | None = None,
) -> ProjectionChanges:
    """The rows of projections that are otherwise in a branch of `past`, by name and key.

    A row is folded from all events that have its key, in the total order. So all events of the namespaces are read from which a
    projection is folded that is reached, and only the rows that are reached are folded.

    Args:
        past: The past.
        branch: The branch's own past.
        reached: The rows that the branch has reached.
        projections: Those of the application.
        codec: That of its rows.
        waiting: References of events that depend on an answer which the branch has not got.
        most: The most events of the past to read; None: all that there are.

    """
    types = {data.event_type for it in projections for data in it.folds_by}
    otherwise = folded_otherwise(past, branch, reached, types)
    changes, untold = list[ProjectionChange](), dict[str, str]()
    for projection in projections:
        keys, why = _reached(projection, otherwise, waiting)
        if keys and why is None:
            try:
                changes += _Folding(projection, codec, keys).changes(past, otherwise, most)
            except HistoryError as error:
                why = str(error)
        if why is not None:
            untold[projection.name] = why
    return ProjectionChanges(sorted(changes, key=lambda it: it[:2]), untold)


def _reached(
    projection: Projection[Any], otherwise: FoldedOtherwise, waiting: Collection[str]
) -> tuple[Reached, str | None]:
    """The keys that are reached; or why they cannot be told."""
    keys = dict[str, bool]()
    for it in (*otherwise.gone.values(), *otherwise.come):
        if is_folded(projection, it):
            try:
                key = _key(projection, it)
            except HistoryError as error:
                return {}, str(error)
            keys[key] = keys.get(key, True) and it.reference in waiting
    return keys, None


def _key(projection: Projection[Any], it: RecordedEvent) -> str:
    """Of the row that an event is folded into. Raises HistoryError, also for whatever the application's own function raises."""
    refuse_unread(projection, it)
    try:
        key: str = projection.folds_by[type(it.event.data)][0](it.event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise HistoryError(_raised(projection, it, error)) from error
    return key


def _raised(projection: Projection[Any], it: RecordedEvent, error: BaseException) -> str:
    return f"the projection {projection.name} raises {in_a_line(error)} at {it.event_type} {it.key!r:.80}, {it.name}"


class _Folding:
    """One projection's rows that are reached, of both pasts side by side."""

    def __init__(self, projection: Projection[Any], codec: Codec, keys: Reached) -> None:
        self._projection, self._keys = projection, keys
        self._projector = Projector([projection], codec)
        self._before: dict[str, Record] = {}
        self._after: dict[str, Record] = {}

    def changes(self, past: Past, otherwise: FoldedOtherwise, most: int | None) -> Iterator[ProjectionChange]:
        """Raises HistoryError for rows that cannot be told, or where more than `most` events are to be read."""
        for it, is_new in heapq.merge(
            ((it, False) for it in self._read(past, most)), ((it, True) for it in otherwise.come), key=lambda pair: pair[0].order
        ):
            if it.accepted and is_folded(self._projection, it):
                if not is_new:
                    self._fold(it, self._before)
                if is_new or it.order not in otherwise.gone:
                    self._fold(it, self._after)
        for key in self._keys:
            before, after = self._before.get(key), self._after.get(key)
            if before != after:
                yield ProjectionChange(self._projection.name, key, before, after, self._keys[key])

    def _read(self, past: Past, most: int | None) -> Iterator[RecordedEvent]:
        namespaces = {namespace_of(data.event_type) for data in self._projection.folds_by}
        for namespace in sorted(namespaces):
            for key in past.erased_keys(namespace):
                refuse_erased(past, (namespace, key))
        events = heapq.merge(*(past.namespace_events(name) for name in sorted(namespaces)), key=lambda it: it.order)
        for number, it in enumerate(events):
            if number == most:
                raise HistoryError(
                    f"rows of {self._projection.name} may be otherwise; to fold them, more than {most:,} events are to be read"
                )
            yield it

    def _fold(self, it: RecordedEvent, rows: dict[str, Record]) -> None:
        """An event of another key changes nothing that is asked for."""
        if _key(self._projection, it) not in self._keys:
            return
        try:
            key, row = self._projector.change(self._projection, it.event, rows)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise HistoryError(_raised(self._projection, it, error)) from error
        rows.pop(key, None)
        if row is not None:
            rows[key] = row
