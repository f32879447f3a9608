"""The smallest list of published events that still brings a row to where a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import Any, NamedTuple

from streams.data import EventData
from streams.engine.readable import named
from streams.errors import HistoryError, NoSuchEvent
from streams.event import Event
from streams.history.branch.branch import what_if
from streams.history.branch.branch_calls import Answers
from streams.history.branch.change import Change
from streams.history.branch.smallest import Search
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import ANSWER, ROOT, STEP, OrderKey, Place, RecordedEvent
from streams.history.when.condition import Condition
from streams.history.when.when import Turns, events_told

MOST = 500_000
"""Events that may have led to it: they are held in memory."""


class Shrunk(NamedTuple):
    """What is left of the published events that may have led to something.

    Attributes:
        events: They, in the order of the past; all that they lead to follows from them.
        shown: The event after which the condition first held, in the past as it was.
        candidates: All published events that may have led to it, in order.
        tries: How many branches were tried.
        ended: `whole` (none of `events` can be left out), `interrupted`, `out of time` or `out of tries`.
        answers: What gateways answered in the past, by equal requests.

    """

    events: Sequence[RecordedEvent]
    shown: RecordedEvent
    candidates: Sequence[RecordedEvent]
    tries: int
    ended: str
    answers: Answers


class SearchLimits(NamedTuple):
    """How long to search, and how it is told: with how many published events are left, after each step."""

    in_time: Callable[[], bool]
    tries: int = 10_000
    tell: Callable[[int], None] = lambda _: None


def shrink(
    past: Past,
    handlers: ApplicationHandlers,
    place: Place,
    condition: Condition,
    limits: SearchLimits,
    *,
    all_before: bool = False,
) -> Shrunk:
    """By branches of what led to it, each of which has fewer events.

    `all_before`: by branches of all that was before it. That takes longer, and knows more: where other things happen in a branch
    than in the past, rows matter that did not then, such as an account whose being there kept money from coming back.

    Raises NoSuchEvent if the condition never held, and HistoryError if it holds of a row that is not there, or if a correction has
    led to it.
    """
    shown = first_shown(past, handlers, place, condition)
    if shown is None:
        raise NoSuchEvent(f"{condition.text} never held of {place[0]} {named(place[1])!r}, so there is nothing to shrink")
    part = up_to(past, shown.order) if all_before else led_to(past, place, shown.order)
    if not all_before:
        _refuse_steps(part, condition, place)
    smaller = _Smaller(part, handlers, place, condition)
    search = Search(smaller.roots, smaller.shows_without, limits.in_time, limits.tell, limits.tries)
    search.run()
    candidates = [it for it in part if it.kind == ROOT]
    return Shrunk(search.left, shown, candidates, search.tries, search.ended, smaller.answers)


def _refuse_steps(part: Sequence[RecordedEvent], condition: Condition, place: Place) -> None:
    """Raises HistoryError if a step of a correction is among these: it set a row, and no published event did."""
    for it in part:
        if it.kind == STEP:
            raise HistoryError(
                f"{place[0]} {named(place[1])!r} came to `{condition.text}` after {it.name}, a step of the correction "
                f"{it.event.data.correction} by {named(it.event.data.who)}, had set a row, so no published events alone show it. "
                f"`retold story {place[0]}/{named(place[1])}` tells what was corrected, and why"
            )


def past_to_shrink(log: CorrectedLog, handlers: ApplicationHandlers, place: Place, condition: Condition) -> Past:
    """The log, unless corrections have set rows before the condition held first: then the past as they make it."""
    if not log.corrections:
        return log.log
    shown = first_shown(log.log, handlers, place, condition)
    if shown is not None and not any(it.order <= shown.order for it in log.log.steps()):
        return log.log
    return log.past(handlers)


def first_shown(
    past: Past, handlers: ApplicationHandlers, place: Place, condition: Condition
) -> RecordedEvent | None:
    """The event after which it first holds. Raises HistoryError if it holds before anything happened."""
    turns = Turns(condition, handlers)
    if turns.holds_at_first:
        raise HistoryError(f"{condition.text} holds where there is no row, so no event is needed to show it")
    return next((turn.event for turn in turns.take(events_told(past, place)) if turn.holds), None)


def up_to(past: Past, order: OrderKey) -> list[RecordedEvent]:
    """All events up to that place."""
    found = list(islice(takewhile(lambda it: it.order <= order, past.events()), MOST + 1))
    _check(len(found))
    return found


def _check(count: int) -> None:
    if count > MOST:
        raise HistoryError(f"more than {MOST:,} events may have led to it, and these are too many to be tried in memory")


def led_to(past: Past, place: Place, order: OrderKey) -> list[RecordedEvent]:
    """All events that may have led to a row as it was behind the event at `order`.

    These are those of its key up to there, and of each event's cause the same again. It is a past by itself: a prefix of each
    key, with all causes.
    """
    reached: set[Place] = set()
    found: list[RecordedEvent] = []
    waiting = [_Reached(order, place)]
    while waiting:
        until, at = heappop(waiting)
        if at in reached:  # from further on: a cause stands before its effects, and the last places come first
            continue
        reached.add(at)
        for it in events_told(past, at):
            if it.order > until:
                break
            found.append(it)
            for cause in () if it.cause is None else past.find_all(it.cause):  # an id may have been handled twice
                if cause.place not in reached:
                    heappush(waiting, _Reached(min(cause.order, until), cause.place))
        _check(len(found))
    return sorted(found, key=lambda it: it.order)


class _Reached(NamedTuple):
    """A key, up to a place. The last places are the least: a heap gives them first."""

    until: OrderKey
    place: Place

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return bool(self.until > other[0])


class _Smaller:
    """A past that becomes smaller with each part that can be spared."""

    def __init__(
        self, events: Sequence[RecordedEvent], handlers: ApplicationHandlers, place: Place, condition: Condition
    ) -> None:
        self._handlers, self._place, self._condition = handlers, place, condition
        self._past = MemoryPast(events)
        self.roots = [it for it in events if it.kind == ROOT]
        self.answers = answers_in(self._past)

    def shows_without(self, part: Sequence[RecordedEvent]) -> bool:
        """Whether it still shows; then the part is gone for good."""
        change = Change(remove=frozenset(it.exact_name for it in part))
        try:
            branch = what_if(self._past, self._handlers, change, answers=self.answers).past
            shows = first_shown(branch, self._handlers, self._place, self._condition) is not None
        except HistoryError:  # it cannot be told, or does not end
            return False
        if shows:
            self._past = MemoryPast(branch.events())  # and not a branch of a branch of a branch
        return shows


def answers_in(past: Past) -> Answers:
    """What gateways answered, by equal requests: what was asked once has its answer also where it is asked anew."""
    known: dict[str, EventData] = {}
    for it in past.events():
        if it.kind == ANSWER and it.cause is not None and (request := past.find(it.cause)) is not None:
            known.setdefault(_asked(request.event), it.event.data)
    return lambda request: known.get(_asked(request))


def _asked(request: Event[Any]) -> str:
    """Data may hold maps, which are no keys."""
    return repr(request.data)
