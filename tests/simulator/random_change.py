"""A random correction of what a seeded run has published: something is put in, taken out or replaced, or two of these."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from streams.data import EventData
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past
from streams.history.recorded_event import ROOT
from tests.support.other_data import other_data

MakeEvent = Callable[[int], EventData]
"""Of a number, by which events of equal numbers mostly have equal keys."""
MOST = 400
"""Numbers of events."""
LATE = 5
"""Events that happened last, of which something may be in flight: half of what is corrected is one of them."""


def a_change(dice: random.Random, make: MakeEvent, past: Past, name: str) -> Change:
    """`name` is the id of what is put in. Nothing if nothing has happened yet."""
    roots = [it for it in past.events() if it.kind == ROOT]
    if not roots:
        return Change()
    was = dice.choice(roots if dice.random() < 0.5 else roots[-LATE:])
    what = dice.choice(["insert", "remove", "both", "replace"])
    near = dice.choice(roots).event.time + timedelta(seconds=dice.choice([-1, 0, 1]))
    return Change(
        [InsertedEvent(make(dice.randrange(MOST)), near, name)] if what in ("insert", "both") else (),
        frozenset([was.exact_name]) if what in ("remove", "both") else frozenset(),
        {was.exact_name: _another(dice, make, was.event.data)} if what == "replace" else {},
    )


def _another(dice: random.Random, make: MakeEvent, was: EventData) -> EventData:
    """Of the same type and key."""
    other = make(dice.randrange(MOST))
    return replace(other, **{was.key_field: was.key}) if type(other) is type(was) else other_data(was)
