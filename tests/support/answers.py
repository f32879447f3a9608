"""What came of a gateway's call, handled alone."""

from __future__ import annotations

from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.image import Image


def came_of(engine: Engine, image: Image, came: CallAnswer | CallGivenUp, now: int) -> Changes:
    batch = engine.begin(image, now)
    batch.answer(came)
    return batch.changes
