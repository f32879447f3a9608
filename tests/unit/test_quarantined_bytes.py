"""What is quarantined blocks nothing, so a restore counts it, and keeps none of its bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.stored import parked_record
from streams.worker.image_reader import ImageReader
from tests.applications import probe
from tests.support.kept import Kept

APP = probe.app()
ENGINE = Engine(APP, "probe", codec_of(APP))
SIZE = 1_000_000


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def quarantined(offset: int) -> Kept:
    """As the parked topic has it, with a value of its own."""
    rubbish = b"\xff%d" % offset + bytes(SIZE)
    [aside] = ENGINE.handle(ENGINE.image(), [(offset, b"k", rubbish, [], 0)], 1).set_aside
    assert (aside.entity, len(aside.value)) == (None, len(rubbish))
    return Kept(*parked_record(aside))


@pytest.mark.usefixtures("traced")
def test_a_restore_keeps_no_bytes_of_what_is_quarantined() -> None:
    """Else whoever may publish rubbish decides how much memory a worker needs to start, and each copy of a partition."""
    reading = ImageReader(ENGINE, 0)
    before, _ = tracemalloc.get_traced_memory()
    for offset in range(30):
        reading.parked(quarantined(offset))  # type: ignore[arg-type]  # reads alike
    kept = tracemalloc.get_traced_memory()[0] - before
    assert kept < 3 * SIZE
    assert reading.image().quarantined == 30


def test_what_is_quarantined_is_counted_once_until_it_is_deleted() -> None:
    """A record that was written again is the same one, and a tombstone ends it."""
    reading = ImageReader(ENGINE, 0)
    for offset in (0, 1, 1):
        reading.parked(quarantined(offset))  # type: ignore[arg-type]  # reads alike
    assert (reading.image().quarantined, reading.image().parked) == (2, {})
    reading.parked(Kept(b"0", None, []))  # type: ignore[arg-type]  # a tombstone has no value
    assert reading.image().quarantined == 1
