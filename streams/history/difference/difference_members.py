"""A difference as JSON objects, one for each thing that is otherwise, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from streams.data import EventData
from streams.history.branch.branch_projections import ProjectionChange
from streams.history.difference.difference import (
    CallChange,
    ChangedEvent,
    Difference,
    Origin,
    RaisedEvent,
    RowChange,
    TimerChange,
    ViewChange,
)
from streams.history.difference.row_changes import FieldChange, row_changes
from streams.history.recorded_event import RecordedEvent
from streams.history.story.story_members import change_members, event_members, outcome_name


def difference_members(found: Difference) -> Iterator[dict[str, Any]]:
    """The most important first; each has `difference`, which says of what kind it is. The summary is the last."""
    yield from map(_origin, found.origins)
    for it in found.untold:
        namespace, key = it.place
        yield {
            "difference": "untold", "namespace": namespace, "key": key, "why": it.why, "not_compared": it.events,
            "recorded": None if it.recorded is None else event_members(it.recorded), "told": it.is_told, "after": it.after,
        }  # fmt: skip
    for kind, events in (("missing", found.missing), ("surplus", found.surplus), ("open", found.open)):
        for event in events:
            yield {"difference": kind, **event_members(event)}
    yield from map(_changed, found.changed)
    yield from map(_raised, found.raised)
    yield from map(_row, found.rows)
    yield from map(_projected, found.projections.changes)
    for name, why in found.projections.untold.items():
        yield {"difference": "projection", "projection": name, "untold": why}
    yield from map(_view, found.views)
    for path, why in found.untold_views.items():
        yield {"difference": "view", "path": path, "untold": why}
    yield from map(_call, found.calls)
    for timer in found.timers:
        yield _timer(timer)
    for event in found.waiting:
        yield {"difference": "waiting", **event_members(event)}
    yield summary_members(found)


def view_changes(it: ViewChange) -> Sequence[FieldChange]:
    """What of an answer is otherwise, by paths that begin with `answer`."""
    return row_changes({"answer": it.before}, {"answer": it.after})


def summary_members(found: Difference) -> dict[str, Any]:
    """What is counted; `events` are those of the past."""
    return {
        "difference": "summary",
        "equal": found.is_empty,
        "events": found.total,
        "skipped": found.skipped,
        "decided": found.decided,
        "unchanged": found.unchanged,
        "missing": len(found.missing),
        "surplus": len(found.surplus),
        "changed": len(found.changed),
        "open": len(found.open),
        "rows": len(found.rows),
        "projections": len(found.projections.changes),
        "views": len(found.views),
        "calls": dict(Counter(it.kind for it in found.calls)),
        "origins": len(found.origins),
        "origins_by_handler": dict(Counter(it.recorded.event_type for it in found.origins)),
        "untold": len(found.untold),
        "not_compared": sum(it.events for it in found.untold),
        "raised": len(found.raised),
        "waiting": len(found.waiting),
        "in_flight": len(found.in_flight),
        "timers": len(found.timers),
        "keys": found.keys,
        **({} if found.parked is None else {"parked": found.parked}),
    }


def _origin(it: Origin) -> dict[str, Any]:
    return {
        "difference": "origin",
        "what": it.kind,
        **event_members(it.recorded),
        "now": _decided(it.now),
        "emitted_then": [_emitted(*each) for each in zip(it.emitted_then, it.times_then, strict=True)],
        "emitted_now": [_emitted(*each) for each in zip(it.emitted_now, it.times_now, strict=True)],
        "row_before": it.row_before,
        "row_then": it.row_then,
        "row_now": it.row_now,
    }


def _changed(it: ChangedEvent) -> dict[str, Any]:
    now = {**_decided(it.now), "time": it.now.event.time, "data": it.now.event.data}
    return {"difference": "changed", "what": list(it.what), **event_members(it.recorded), "now": now}


def _raised(it: RaisedEvent) -> dict[str, Any]:
    return {"difference": "raised", "behind": it.behind, "error": it.error, **event_members(it.event)}


def _row(it: RowChange) -> dict[str, Any]:
    namespace, key = it.place
    changes = [change_members(each) for each in row_changes(it.before, it.after)]
    return {
        "difference": "row", "namespace": namespace, "key": key, "before": it.before, "after": it.after, "open": it.open,
        "changes": changes,
    }  # fmt: skip


def _projected(it: ProjectionChange) -> dict[str, Any]:
    changes = [change_members(each) for each in row_changes(it.before, it.after)]
    return {
        "difference": "projection", "projection": it.projection, "key": it.key, "before": it.before, "after": it.after,
        "open": it.open, "changes": changes,
    }  # fmt: skip


def _view(it: ViewChange) -> dict[str, Any]:
    changes = [change_members(each) for each in view_changes(it)]
    return {"difference": "view", "path": it.path, "before": it.before, "after": it.after, "changes": changes}


def _emitted(data: EventData, time: datetime) -> dict[str, Any]:
    return {"type": data.event_type, "key": data.key, "time": time, "data": data}


def _timer(it: TimerChange) -> dict[str, Any]:
    found = {"type": it.data.event_type, "key": it.data.key, "before": it.before, "after": it.after, "data": it.data}
    return {"difference": "timer", "timer": it.kind, **found}


def _call(it: CallChange) -> dict[str, Any]:
    event = it.request
    found = {"type": event.data.event_type, "key": event.key, "id": event.id, "data": event.data}
    return {"difference": "call", "call": it.kind, **found}


def _decided(it: RecordedEvent) -> dict[str, Any]:
    return {"outcome": outcome_name(it), "reason": it.reason}
