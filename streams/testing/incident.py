"""What brought a row to where it should never be: the fewest events of a past, and a World that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streams.app import App
from streams.data import EventData
from streams.errors import CodeChanged, HistoryError
from streams.event import Event
from streams.history.branch.shrinking import SearchLimits, Shrunk, shrink
from streams.history.branch.smallest import INTERRUPTED, WHOLE
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.past import Past
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.when.predicate import Predicate
from streams.testing.scenario import Scenario, ScenarioStep, scenario_that_shows, smallest_scenario
from streams.testing.world import World

AFTERWARDS = 20.0
"""s that Worlds may be tried when the time for branches is over."""


class Found(NamedTuple):
    """`scenario` is None if no World shows it. `answered` are the requests that gateways get in it, with their answers.

    `untold` says of which row the code has changed its mind on the way to it; None: of none, or a World shows it all the same.
    """

    shrunk: Shrunk
    scenario: Scenario | None
    answered: Sequence[tuple[EventData, EventData]] = ()
    untold: str | None = None


def search(
    past: Past,
    handlers: ApplicationHandlers,
    place: Place,
    condition: str,
    seconds: float,
    tell: Callable[[int], None] = lambda _: None,
) -> Found:
    """Look for at most so many seconds, and a little longer for a World.

    Raises HistoryError if there is nothing to shrink, and InvalidEvent for what is no condition.
    """
    predicate = Predicate(condition, handlers.app.namespace(place[0]).row_type)
    deadline = time.monotonic() + seconds
    limits = SearchLimits(lambda: time.monotonic() < deadline, tell=tell)
    shrunk = shrink(past, handlers, place, predicate, limits)
    worlds = _Worlds(handlers.app, place, condition, shrunk, limits)
    found = worlds.found(shrunk)
    if found.scenario is None and limits.in_time() and shrunk.ended == WHOLE:
        more = shrink(past, handlers, place, predicate, limits, all_before=True)
        found = worlds.found(more)
        if found.scenario is None and more.ended != INTERRUPTED:
            found = worlds.smallest(more)
    return found if found.scenario is not None else found._replace(untold=_untold(past, handlers, shrunk))


def _untold(past: Past, handlers: ApplicationHandlers, shrunk: Shrunk) -> str | None:
    """Why a row of the events that may have led to it cannot be told: what was accepted then is refused now."""
    for place in dict.fromkeys(it.place for it in (*shrunk.events, shrunk.shown, *shrunk.candidates)):
        try:
            handlers.fold_all([it for it in past.key_events(place) if it.order <= shrunk.shown.order])
        except CodeChanged as error:
            return error.why
    return None


class _Worlds:
    """Worlds that are given the events of a past, in one way or another."""

    def __init__(self, app: App, place: Place, condition: str, shrunk: Shrunk, limits: SearchLimits) -> None:
        self._app, self._place, self._condition = app, place, condition
        self._until = shrunk.shown.event.time
        last = time.monotonic() + AFTERWARDS
        self._limits = SearchLimits(lambda: limits.in_time() or time.monotonic() < last, tell=limits.tell)

    def _shows(self, world: World) -> bool:
        try:
            return any(turn.holds for turn in world.history().when(*self._place, self._condition))
        except HistoryError:  # it cannot be asked of one of the rows on the way
            return False

    def found(self, shrunk: Shrunk) -> Found:
        """With the events that are left."""
        in_time = self._limits.in_time
        scenario = scenario_that_shows(
            self._app, _steps(shrunk.events), shrunk.answers, self._until, self._shows, in_time
        )
        return self._with_answers(shrunk, scenario)

    def smallest(self, shrunk: Shrunk) -> Found:
        """With as few as possible of all that may have led to it."""
        scenario = smallest_scenario(
            self._app, _steps(shrunk.candidates), shrunk.answers, self._until, self._shows, self._limits
        )
        return self._with_answers(shrunk, scenario)

    def _with_answers(self, shrunk: Shrunk, scenario: Scenario | None) -> Found:
        return Found(shrunk, scenario, [] if scenario is None else _answered(self._app, shrunk, scenario))


def _steps(events: Sequence[RecordedEvent]) -> list[ScenarioStep]:
    return [ScenarioStep(it.event.data, it.event.time) for it in events]


def _answered(app: App, shrunk: Shrunk, scenario: Scenario) -> list[tuple[EventData, EventData]]:
    """What gateways are asked in the World, once each."""
    found: list[tuple[EventData, EventData]] = []
    for request in scenario.run(app, shrunk.answers).calls:
        answer = shrunk.answers(Event(request, "", shrunk.shown.event.time))
        if answer is not None and (request, answer) not in found:
            found.append((request, answer))
    return found
