"""How permit 4346 came to `late and closed`: by permit.step permit-0:1987.

That was on 2011-04-04T11:54:21.379000Z. Of 8 published events that may have led to it, 2 are enough.
Written by `retold shrink`. The test fails as long as these events lead to it.
"""

from datetime import UTC, datetime

from streams.testing import World
from tests.applications.permits import app
from tests.applications.permits.events import PermitReceive, PermitStep

EVENTS = [
    (
        PermitReceive(permit="4346", channel="Internet", by="21"),
        datetime(2010, 11, 25, 8, 1, 6, 997000, tzinfo=UTC),
    ),
    (
        PermitStep(permit="4346", step="T10", by="21"),
        datetime(2011, 4, 4, 11, 54, 21, 379000, tzinfo=UTC),
    ),
]


def test_permit_4346() -> None:
    """It should never come to `late and closed`."""
    world = World(app())
    world.play(EVENTS, parked="allow")
    found = world.history().when("permit", "4346", "late and closed")
    assert [turn.event.name for turn in found if turn.holds] == []
