"""Infinite numbers: JSON has none, so none comes into a log or a table; what is there is shown as null."""

from __future__ import annotations

import json
import math
import struct

import pytest

from streams import App, Event, Namespace, Outcome
from streams.cli.output.screen import json_line
from streams.codec import codec_of
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.event_handlers import Inbox, Limits
from streams.engine.records import InboxRecord
from tests.unit.codec_classes import ThingRow, ThingSet
from tests.unit.test_codec import row, thing

THINGS = Namespace("thing", row=ThingRow)


@THINGS.handles(ThingSet)
def keep(kept: ThingRow | None, event: Event[ThingSet]) -> Outcome:
    """One whose ratio is 0 divides by it, as numpy would."""
    return Outcome(row(ratio=event.data.ratio or math.inf))


APP = App(name="things", namespaces=[THINGS])
CODEC = codec_of(APP)


def handle(value: bytes) -> Changes:
    engine = Engine(APP, "thing", CODEC, limits=Limits(), inbox=Inbox("thing", "topic-1", None))
    names = {"ce_id": b"a", "ce_source": b"s", "ce_type": b"thing.set", "ce_time": b"2026-01-01T00:00:00Z"}
    record: InboxRecord = (0, thing().key.encode(), value, [*names.items()], 1_700_000_000_000)
    return engine.handle(engine.image(), [record], 1_800_000_000_000_000)


@pytest.mark.parametrize("bits", [math.inf, -math.inf])
def test_avro_that_holds_one_is_quarantined(bits: float) -> None:
    """Whoever writes to the inbox without the doors brings in none either."""
    value = CODEC.encode(thing(ratio=123456.0)).replace(struct.pack("<d", 123456.0), struct.pack("<d", bits))
    changes = handle(value)
    [aside] = changes.set_aside
    assert "thing.set.ratio is " in aside.header.reason
    assert "neither NaN nor infinite" in aside.header.reason
    assert changes.counters.quarantined == 1


def test_a_row_with_one_parks_its_event() -> None:
    """The handler's mistake waits with its reason, as a row with NaN does."""
    changes = handle(CODEC.encode(thing(ratio=0.0)))
    [aside] = changes.set_aside
    assert "thing.row.ratio is inf" in aside.header.reason
    assert changes.counters.parked == 1


def test_a_row_that_has_one_is_shown_as_null(capsys: pytest.CaptureFixture[str]) -> None:
    """As over HTTP: `Infinity` is a word of Python's that no reader of JSON takes."""
    json_line({"row": row(ratio=-math.inf)})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["row"]["ratio"] is None
