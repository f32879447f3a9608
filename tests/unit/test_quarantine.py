"""A record that blocks its partition, and an operator's command to quarantine it: the engine's part (rule 11)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import codec_of, prefix_of
from streams.engine import control
from streams.engine.batch import CallGivenUp
from streams.engine.changes import Changes
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import HANDLER, SCHEMA, Counters, InboxRecord
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.applications.shop.events import PaymentCharge
from tests.support.answers import came_of

APP = probe.app()
CODEC = codec_of(APP)
UNKNOWN = prefix_of(12345) + b"whatever"
WHY = "set aside by ada: obsolete"


def event(offset: int, how: str = "count") -> InboxRecord:
    return (offset, b"k", CODEC.encode(ProbeDo(name="k", how=how)), None, 0)


def unknown(offset: int) -> InboxRecord:
    return (offset, b"k", UNKNOWN, [("ce_id", b"a"), ("x-theirs", b"\xff")], 0)


def quarantine_record(offset: int, at: int, key: str = "") -> InboxRecord:
    return (at, key.encode(), control.encode(OperatorCommand("quarantine", key, offset, "ada", "obsolete")), None, 0)


def handled(image: Image, records: list[InboxRecord], quarantines: dict[int, str] | None = None) -> Changes:
    batch = Engine(APP, "probe", CODEC).begin(image, 1, quarantines or {})
    batch.take_all(records)
    image.apply(batch.changes)
    return batch.changes


def test_a_command_quarantines_the_blocking_record_and_what_is_behind_goes_on() -> None:
    """With its bytes, its key and its headers, who ordered it and why it waited; nobody waits any more."""
    image = Image()
    assert handled(image, [event(0), unknown(1), event(2)]).blocked is not None
    assert (image.inbox_next, image.counters) == (1, Counters(accepted=1))
    changes = handled(image, [unknown(1), event(2), quarantine_record(1, 3)], {1: WHY})
    [kept] = changes.set_aside
    header = kept.header
    assert (header.status, header.reason, header.key, header.offset) == ("quarantined", WHY, None, 1)
    assert "12345" in header.detail
    assert (kept.offset, kept.value, kept.key, kept.carried) == (1, UNKNOWN, b"k", unknown(1)[3])
    assert (changes.blocked, image.inbox_next, image.rows["k"][0]) == (None, 4, ProbeRow(count=2, texts={}))
    assert image.counters == Counters(accepted=2, quarantined=1, control=1)


def test_what_is_not_deployed_is_the_cause() -> None:
    """A schema that nobody knows, or a handler: the schema may be known from elsewhere, or the event belong to an older version."""
    codec = codec_of(APP)
    newer = json.dumps({**json.loads(ProbeDo.schemas[-1]), "name": "did", "aliases": []})
    without = prefix_of(codec.add_schema(newer)) + CODEC.encode(ProbeDo(name="k"))[5:]
    found = []
    for value in (UNKNOWN, without):
        batch = Engine(APP, "probe", codec).begin(Image(), 1, {})
        batch.take_all([(0, b"k", value, None, 0)])
        found.append(None if batch.changes.blocked is None else batch.changes.blocked.cause)
    assert found == [SCHEMA, HANDLER]


def test_a_quarantine_command_about_another_record_changes_nothing() -> None:
    """One that is known is handled, and one that is not waits on."""
    image = Image()
    changes = handled(image, [event(0), unknown(1)], {0: WHY, 2: WHY})
    assert (changes.blocked is not None, image.counters) == (True, Counters(accepted=1))


@pytest.mark.parametrize("key", ["", "k", "other"])
def test_a_quarantine_command_met_in_the_inbox_is_counted_and_does_nothing(key: str) -> None:
    """Also if it names the first of a parked queue."""
    image = Image()
    handled(image, [event(0, "raise"), event(1)])
    changes = handled(image, [quarantine_record(0, 2, key), quarantine_record(7, 3, key)])
    assert (changes.queues, changes.unparked, changes.log, changes.set_aside) == ({}, [], [], [])
    assert (image.counters, image.inbox_next) == (Counters(parked=2, control=2), 4)


def test_an_answer_of_an_unknown_schema_may_be_quarantined_as_well() -> None:
    """A partition waits at an operator's answer as at any event; the request that it is about stays parked."""
    engine = Engine(shop.app(), "payment", codec_of(shop.app()))
    image, charge = Image(), engine.codec.encode(PaymentCharge(order="o1", amount=1))
    image.apply(engine.handle(image, [(0, b"o1", charge, None, 0)], 1))
    [call] = image.calls.values()
    image.apply(came_of(engine, image, CallGivenUp(call, "closed"), 1))
    answer = (1, b"o1", control.encode(OperatorCommand("answer", "o1", 0, "ada", "", UNKNOWN)), None, 0)
    changes = engine.handle(image, [answer], 1)
    assert (changes.blocked is not None, changes.counters) == (True, Counters())
    batch = engine.begin(image, 1, {1: WHY})
    assert batch.take_all([answer])
    image.apply(batch.changes)
    assert (batch.changes.counters, image.inbox_next) == (Counters(quarantined=1), 2)
    assert [aside.offset for aside in image.parked["o1"]] == [0]


@given(
    st.one_of(
        st.none(),
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda text: control.PREFIX + text),
        st.sampled_from(["retry", "reject", "answer"]).map(lambda what: control.encode(OperatorCommand(what, "", 1, "ada"))),  # type: ignore[arg-type]  # its commands
    )
)
def test_no_other_record_is_a_quarantine_command(value: bytes | None) -> None:
    """Whatever its bytes are, nothing raises."""
    assert control.quarantine_command(b"", value) is None


def test_a_quarantine_command_is_read_under_its_own_key_only() -> None:
    """Under another it is no operator command, and will be quarantined itself."""
    said = OperatorCommand("quarantine", "", 1, "ada", "obsolete")
    assert control.quarantine_command(b"", control.encode(said)) == said
    assert control.quarantine_command(b"k", control.encode(said)) is None
    assert control.quarantine_command(None, control.encode(said)) is None
