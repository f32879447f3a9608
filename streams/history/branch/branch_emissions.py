"""What an event leads to in a branch: as it was recorded, or made anew, with the same ids as a worker gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from streams.data import EventData, namespace_of
from streams.engine.emissions import check_emission
from streams.engine.event_handlers import EventHandler
from streams.engine.identity import emitted_id
from streams.engine.times import checked_time, from_micros, to_micros
from streams.engine.wire_format import too_large
from streams.event import Event
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.recorded_event import ANSWER, EMITTED, TIMER, RecordedEvent
from streams.outcome import Emission, Scheduled


class BranchEmission(NamedTuple):
    """An emission of an event. `at` is None unless it is scheduled. `recorded` is what the past has under its id.

    `own`: it is a timer of its cause's own key, which is handled in place. `same`: it is as it was recorded.
    """

    event: Event[Any]
    reference: str
    value: bytes
    ordinal: int
    at: datetime | None
    own: bool
    recorded: RecordedEvent | None
    same: bool

    @property
    def namespace(self) -> str:
        return namespace_of(self.event.data.event_type)

    @property
    def kind(self) -> str:
        return TIMER if self.own else EMITTED


def emissions_of(
    handlers: ApplicationHandlers,
    handler: EventHandler,
    cause: Event[Any],
    emit: Iterable[Emission],
    effects: Sequence[RecordedEvent],
    is_of: Callable[[RecordedEvent], bool] = lambda _: True,
) -> list[BranchEmission]:
    """The emissions of `cause`; `effects` are those that were recorded, in order. Raises UndeclaredEmission or InvalidEvent.

    What was recorded is found by type, key and ordinal, so that nothing is derived or encoded again where nothing has changed.
    What a worker would refuse is refused all the same.
    `is_of` says whether an effect that is otherwise was that of `cause`, and not of another event of its reference.
    """
    known: dict[tuple[str, str, int], list[RecordedEvent]] = {}
    for it in effects:
        if it.kind != ANSWER:
            known.setdefault((it.event_type, it.key, it.ordinal), []).append(it)
    ordinals: Counter[tuple[str, str]] = Counter()
    reference, found = cause.reference, list[BranchEmission]()
    for emission in emit:
        data, at = (emission.data, emission.at) if isinstance(emission, Scheduled) else (emission, None)
        check_emission(handler.event_type, data, handler.emits)
        if at is not None:
            at = from_micros(to_micros(checked_time(f"{data.event_type} is scheduled at", at)))
        name, key, time = data.event_type, data.key, at or cause.time
        ordinal = ordinals[name, key]
        ordinals[name, key] += 1
        own = at is not None and key == cause.key and namespace_of(name) == namespace_of(cause.data.event_type)
        candidates = known.get((name, key, ordinal), ())
        was = _same(candidates, handlers.codec.freeze(data), time) if candidates else None
        if was is None:
            data, value = _encoded(handlers, data)
            was = next(filter(is_of, candidates), None)
            event_id = emitted_id(reference, name, key, ordinal)
            source = handlers.spaces[namespace_of(handler.event_type)].source
            event = Event(data, event_id, time, cause.id, cause.correlation or cause.id, source)
            found.append(BranchEmission(event, event_id, value, ordinal, at, own, was, same=False))
            continue
        found.append(BranchEmission(was.event, was.reference, was.value, ordinal, at, own, was, same=True))
    return found


def is_due_otherwise(it: BranchEmission, recorded: RecordedEvent) -> bool:
    """Whether a timer was recorded as it fired, and does not fire at that time now, or what fired is said at once."""
    return it.event.time != recorded.event.time and (it.at is not None or recorded.kind == TIMER)


def _same(candidates: Sequence[RecordedEvent], data: EventData, time: datetime) -> RecordedEvent | None:
    """`data` is frozen: 1.0 and True equal 1, and a worker parks an event that emits them for a whole number."""
    for was in candidates:
        if was.event.data == data and was.event.time == time:
            return was
    return None


def _encoded(handlers: ApplicationHandlers, data: EventData) -> tuple[EventData, bytes]:
    data, value = handlers.codec.encode_frozen_event(data)
    if len(value) > handlers.wire.limits.event_bytes:
        raise too_large(f"{data.event_type}, emitted for {data.key[:100]!r},", value, handlers.wire.limits)
    return data, value
