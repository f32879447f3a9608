"""A story as the members of a JSON object: the same for a command and for a server."""

from __future__ import annotations

from typing import Any

from streams.engine.records import ACCEPTED, CORRECTED, REJECTED
from streams.engine.times import from_micros
from streams.history.difference.row_changes import FieldChange, Missing
from streams.history.recorded_event import PARKED, STEP, UNHANDLED, RecordedEvent
from streams.history.story.event_corrections import EventCorrection
from streams.history.story.story import KeyStory, Story, StoryStep
from streams.history.story.waiting import WaitingEvent


def outcome_name(it: RecordedEvent) -> str:
    """`accepted`, `rejected` or, of a correction's step, `corrected`; in a branch also `parked`, and in a replay `unhandled`."""
    if it.by in (PARKED, UNHANDLED):
        return it.by
    if it.kind == STEP:
        return CORRECTED
    return ACCEPTED if it.accepted else REJECTED


def event_members(it: RecordedEvent) -> dict[str, Any]:
    """`by` and `reason` are who rejected it and why; of a correction's step, who corrected and why."""
    by, reason = (it.event.data.who, it.event.data.why) if it.kind == STEP else (it.by, it.reason)
    return {
        "position": it.name if it.has_position else None,
        "type": it.event_type,
        "key": it.key,
        "id": it.event.id,
        "kind": it.kind,
        "source": it.event.source,
        "time": it.event.time,
        "recorded": from_micros(it.order.recorded) if it.has_position else None,
        "outcome": outcome_name(it),
        "reason": reason,
        "by": by,
        "data": it.event.data,
    }


def step_members(step: StoryStep, *, alone: bool = False) -> dict[str, Any]:
    """`alone`: without what followed, as of a cause, whose `others` are its other effects."""
    found = {**event_members(step.event), "row": step.row_is, "changes": [change_members(it) for it in step.changes]}
    if step.unknown is not None:
        found["unknown"] = step.unknown
    if step.corrections:
        found["corrections"] = [correction_members(it) for it in step.corrections]
    if alone:
        return found | {"others": step.left_out}
    if step.cause is not None:
        found["cause"] = event_members(step.cause)
    effects = [step_members(it) for it in step.effects]
    return found | {"effects": effects, "left_out": step.left_out, "waits": [waiting_members(it) for it in step.waits]}


def correction_members(it: EventCorrection) -> dict[str, Any]:
    return {"what": it.what, "correction": it.correction, "by": it.by, "why": it.why, "at": it.at, "data": it.data}


def story_members(story: Story) -> dict[str, Any]:
    causes = [step_members(it, alone=True) for it in story.causes]
    return {"causes": causes, "lost_cause": story.lost, "event": step_members(story.step)}


def key_story_members(story: KeyStory) -> dict[str, Any]:
    namespace, key = story.place
    return {
        "namespace": namespace,
        "key": key,
        "row": story.row,
        "version": story.version,
        "unknown": story.unknown,
        "earlier": story.earlier,
        "events": [step_members(it) for it in story.steps],
        "waits": [waiting_members(it) for it in story.waits],
    }


def waiting_members(it: WaitingEvent) -> dict[str, Any]:
    """`due` of a timer, `since` of all else."""
    at = {"due" if it.kind == "timer" else "since": from_micros(it.at)}
    found: dict[str, Any] = {
        "kind": it.kind,
        "type": it.event_type,
        "namespace": it.namespace,
        "key": it.key,
        "id": it.id,
        **at,
    }
    return found | {"reason": it.reason, "position": it.where or None, "data": it.data}


def change_members(it: FieldChange) -> dict[str, Any]:
    """What is not there has no member."""
    found = {"field": it.field, "before": it.before, "after": it.after}
    return {name: value for name, value in found.items() if not isinstance(value, Missing)}
