"""The timers that wait at a row, behind a correction's step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from streams.engine.step import CorrectionStep, StepTimer
from streams.engine.times import from_micros
from streams.event import Event, reference_of
from streams.history.branch.branch_queue import BranchTimer, BranchTurn
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.recorded_event import EMITTED, TIMER, Place, RecordedEvent

LeftTimers = dict[str, tuple[bytes, datetime] | None]
"""By reference, the value and the time of timers that a worker has of steps; None: a step has taken it away."""


def timers_behind(
    handlers: ApplicationHandlers, timers: list[BranchTimer], step: CorrectionStep, owner: Place
) -> list[BranchTimer]:
    dropped = {it.event_id for it in step.dropped}
    kept = [it for it in timers if it.turn.event.id not in dropped]

    return [*kept, *(_timer(handlers, it, owner) for it in step.added)]


def timers_left(steps: Iterable[RecordedEvent]) -> LeftTimers:
    """By steps in their order; whether a worker has fired one since is not looked at."""
    left = LeftTimers()
    for step in (it.event.data for it in steps):
        left.update((it.event_id, None) for it in step.dropped)
        left.update((it.event_id, (it.value, from_micros(it.at))) for it in step.added)
    return left


def _timer(handlers: ApplicationHandlers, it: StepTimer, owner: Place) -> BranchTimer:
    envelope = handlers.wire.envelopes.read(list(it.headers))
    data = handlers.codec.decode(it.value)
    event = Event(data, it.event_id, from_micros(it.at), envelope.cause, envelope.correlation, envelope.source)
    cause = None if envelope.cause is None else reference_of(envelope.cause_source, envelope.cause)
    turn = BranchTurn(event, event.reference, it.value, TIMER if it.own else EMITTED, cause, envelope.ordinal)
    return BranchTimer(it.at, owner, turn, it.own, known=True)
