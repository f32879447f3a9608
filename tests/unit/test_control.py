"""Control records in the engine: a command said twice, one that fails again, and the order of a restored queue."""

from __future__ import annotations

from streams.codec import codec_of
from streams.engine import control
from streams.engine.control import Control
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import InboxRecord
from streams.worker.restore import Reading
from tests.applications import probe
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.support.kept import Kept

APP = probe.app()
CODEC = codec_of(APP)


def event(offset: int, how: str = "count", text: str = "") -> InboxRecord:
    return (offset, b"k", CODEC.encode(ProbeDo(name="k", how=how, text=text)), None, 0)


def retry(offset: int, at: int) -> InboxRecord:
    return (at, b"k", control.encode(Control("retry", "k", offset, "ada")), None, 0)


class Switch:
    """A handler that raises until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, row: ProbeRow, key: str) -> object:
        if self.broken:
            raise RuntimeError("a bug")
        return probe.counted(row)


def parked(engine: Engine) -> tuple[Image, Switch]:
    """A key with two parked events: the first raised, the second is behind it."""
    switch = probe.WRONG["switch"] = Switch()
    image = engine.image()
    image.apply(engine.handle(image, [event(0, "switch"), event(1)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    return image, switch


def test_a_command_said_twice_does_nothing_the_second_time() -> None:
    """Also in one batch: each parked event is handled and logged once."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    switch.broken = False
    changes = engine.handle(image, [retry(0, 2), retry(0, 3)], 1)
    image.apply(changes)
    assert (len(changes.log), changes.unparked, image.parked) == (2, [0, 1], {})
    assert image.rows["k"][0] == ProbeRow(count=2, texts={})


def test_a_retry_that_fails_again_leaves_the_queue_as_it_was() -> None:
    """Once mended, each of it is handled once, in order."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    image.apply(engine.handle(image, [retry(0, 2)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    switch.broken = False
    changes = engine.handle(image, [retry(0, 3), event(4)], 1)
    assert [logged.key for logged in changes.log] == [b"k@1", b"k@2", b"k@3"]


def test_arrivals_behind_a_retry_that_fails_stay_behind() -> None:
    """In the same batch too."""
    engine = Engine(APP, "probe", CODEC)
    image, _ = parked(engine)
    image.apply(engine.handle(image, [retry(0, 2), event(3)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1, 3]


def test_a_restored_queue_is_in_order_whatever_compaction_kept() -> None:
    """An event that was parked again lies behind its successors in the topic, and still comes first."""
    engine = Engine(APP, "probe", CODEC)
    image, _ = parked(engine)
    reading = Reading(engine, 0)
    for aside in reversed(image.parked["k"]):
        reading.parked(Kept(b"%d" % aside.offset, aside.value, aside.headers))  # type: ignore[arg-type]  # reads alike
    assert [aside.offset for aside in reading.image().parked["k"]] == [0, 1]
