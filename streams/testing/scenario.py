"""A few events of the past, as a World can be given them so that the same becomes of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice, permutations, product

import msgspec

from streams.app import App
from streams.data import EventData
from streams.history.branch.shrinking import SearchLimits
from streams.history.branch.smallest import Search
from streams.testing.world import World
from streams.testing.world_io import Answers

FEW, PERMUTED, MOST_TRIED = 7, 4, 100
"""Of so few events all ways to let what follows wait are tried; of more, some; of so few, all orders; so many ways at most."""
Shows = Callable[[World], bool]


class ScenarioStep(msgspec.Struct, frozen=True):
    """An event that is published, whatever its row's version is.

    `settles`: all that it leads to is handled before the next one is.
    """

    data: EventData
    time: datetime
    settles: bool = True


class Scenario(msgspec.Struct, frozen=True):
    """`plays`: the events come at their times, with the timers due before each. Else one by one, in the given order.

    `later` is how much time passes at the end; None: none, and no timer fires by the wall clock.
    """

    steps: Sequence[ScenarioStep]
    plays: bool = True
    later: timedelta | None = None

    def run(self, app: App, answers: Answers | None) -> World:
        """A World in which it has happened. Gateways answer as `answers` says, and nobody is called."""
        world = World(app, answers=answers or (lambda _: None))
        if self.plays:
            world.play([(it.data, it.time) for it in self.steps], parked="allow")
        else:
            for it in self.steps:
                world.when(it.data, time=it.time)
                if it.settles:
                    world.settle(parked="allow")
        if self.later is not None:
            world.advance(self.later, parked="allow")
        return world


def scenario_that_shows(
    app: App, steps: Sequence[ScenarioStep], answers: Answers, until: datetime, shows: Shows, in_time: Callable[[], bool]
) -> Scenario | None:
    """The first way in which a World comes to show it; None: none of those that were tried does.

    `until` is the time to which it passes for timers. What is tried first is what reads best in a test.
    """
    for each in islice(_ways(steps), MOST_TRIED):
        if not in_time():
            return None
        world = each.run(app, answers)
        if shows(world):
            return each
        later = max(timedelta(0), until - world.now)
        if shows(world.advance(later, parked="allow")):
            return msgspec.structs.replace(each, later=later)
    return None


def smallest_scenario(
    app: App, steps: Sequence[ScenarioStep], answers: Answers, until: datetime, shows: Shows, limits: SearchLimits
) -> Scenario | None:
    """Where the events that a branch needs show nothing in a World: the fewest that do there, of all that may have led to it."""
    found = scenario_that_shows(app, steps, answers, until, shows, limits.in_time)
    if found is None:
        return None

    def shows_without(part: Sequence[ScenarioStep]) -> bool:
        left = [it for it in search.left if it not in part]
        return shows(msgspec.structs.replace(found, steps=left).run(app, answers))

    search = Search(found.steps, shows_without, limits.in_time, limits.tell, limits.tries)
    search.run()
    return msgspec.structs.replace(found, steps=search.left)


def _ways(steps: Sequence[ScenarioStep]) -> Iterator[Scenario]:
    yield Scenario(sorted(steps, key=lambda it: it.time))
    yield from (Scenario(order, plays=False) for order in _orders(steps))
    for waits in _waits(len(steps) - 1):
        told = [msgspec.structs.replace(it, settles=settles) for it, settles in zip(steps, (*waits, True), strict=True)]
        yield Scenario(told, plays=False)


def _orders(steps: Sequence[ScenarioStep]) -> Iterator[Sequence[ScenarioStep]]:
    """As they are; of a few also every other order: what came first to one partition may have come later to another."""
    yield from permutations(steps) if len(steps) <= PERMUTED else [steps]


def _waits(count: int) -> Iterator[Sequence[bool]]:
    """Behind which of the events all settles, first behind none: what they lead to is handled among each other then."""
    if count < FEW:
        yield from product((False, True), repeat=count)
        return
    chosen = random.Random(count)  # noqa: S311 - the same ones each time
    yield [False] * count
    while True:
        yield [chosen.random() < 0.5 for _ in range(count)]
