"""Real sign-ups in a World, each user heard of again when they were last seen: who gets a reminder."""

from __future__ import annotations

from datetime import timedelta

from processors.events import EmailSend
from streams.testing import World
from tests.support.signups import REMINDERS, app, history


def reminders(world: World) -> int:
    return sum(isinstance(call, EmailSend) and call.template == "reminder" for call in world.calls)


def test_a_world_that_plays_the_sign_ups_reminds_who_was_not_heard_of() -> None:
    """Each event at its time; then what is due by now."""
    assert reminders(World(app()).play(history()).advance(timedelta(0))) == REMINDERS


def test_a_world_that_gets_them_user_by_user_reminds_the_same() -> None:
    """In the order of the file, settled now and then, as an import comes in."""
    world = World(app())
    for number, (data, time) in enumerate(history(150)):
        world.when(data, time=time)
        if number % 7 == 0:
            world.settle()
    played = World(app()).play(history(150)).advance(timedelta(0))
    assert 0 < reminders(world.settle().advance(timedelta(0))) == reminders(played) < 150
