"""Steps of corrections in the engine: one row is set, at a version, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from streams.cli.commands.tail import line_of
from streams.codec import codec_of
from streams.engine.engine import Engine, Inbox
from streams.engine.event_handlers import Limits
from streams.engine.fold import RowFold, fold
from streams.engine.image import Image
from streams.engine.records import InboxRecord
from streams.engine.step import CorrectionStep, DroppedTimer, StepTimer, encode_step
from streams.engine.stored import log_record
from streams.engine.times import from_micros, to_micros
from streams.engine.wire_format import WireFormat
from streams.errors import RowsNotBuilt
from streams.history.recorded_event import STEP, read_recorded
from streams.kafka.messages import LogEvent
from tests.applications import bank, timed
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow
from tests.applications.timed.events import AlarmTouch

APP = bank.app()
CODEC = codec_of(APP)
ENGINE = Engine(APP, "account", CODEC)
NOW = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
HOUR = 3_600_000_000
"""µs."""


def opened() -> Image:
    image = ENGINE.image()
    image.apply(ENGINE.handle(image, [(0, b"a", CODEC.encode(AccountOpen(account="a", balance=100)), None, 0)], NOW))
    return image


def a_step(**other: Any) -> CorrectionStep:
    row = CODEC.encode_row(AccountRow(balance=70))
    step = CorrectionStep(
        command="step", namespace="account", entity="a", correction="c1", number=1, expected=1, row=row, who="ann", why="typo"
    )
    return replace(step, **other)


def record(step: CorrectionStep, offset: int = 1) -> InboxRecord:
    return (offset, step.entity.encode(), encode_step(step), None, 0)


def test_a_step_sets_its_row_with_a_version_of_its_own() -> None:
    """Whoever expects the version before it is told that the row has moved."""
    image = opened()
    changes = ENGINE.handle(image, [record(a_step())], NOW)
    image.apply(changes)
    assert image.rows["a"] == (AccountRow(balance=70), 2)
    assert changes.row_bytes["a"] == CODEC.encode_row(AccountRow(balance=70))
    assert (image.counters.corrected, image.counters.control, image.counters.accepted) == (1, 0, 1)
    expecting = (2, b"a", CODEC.encode(AccountCredit(account="a", transfer="t", amount=1)), [("ce_expectedversion", b"1")], 0)
    [result] = ENGINE.handle(image, [expecting], NOW).results
    assert result.wrong_version


@pytest.mark.parametrize(
    ("after", "recorded"),
    [(NOW - 5, NOW + 1), (NOW + 7, NOW + 8), (NOW + 2 * HOUR, NOW + 2 * HOUR + 1), (NOW + 25 * HOUR, NOW + 1)],
)
def test_a_step_is_recorded_after_what_it_was_decided_on(after: int, recorded: int) -> None:
    """And after the last record of its partition, also by a clock that is slow; but no time a day ahead is believed."""
    image = opened()
    image.apply(ENGINE.handle(image, [record(a_step(after=after))], NOW))
    assert (image.sequence, image.recorded) == (2, recorded)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_step_to_a_row_that_has_moved_does_nothing(expected: int) -> None:
    """It is counted among the commands, and the log does not have it."""
    image = opened()
    changes = ENGINE.handle(image, [record(a_step(expected=expected))], NOW)
    assert (changes.log, changes.rows, changes.counters.control, changes.counters.corrected) == ([], {}, 1, 0)


@pytest.mark.parametrize(("generation", "taken"), [(0, 1), (1, 1), (2, 0)])
def test_a_step_of_another_generation_does_nothing(generation: int, taken: int) -> None:
    """Its row would be what other code makes of the past. An earlier version of retold did not say of which one it is."""
    changes = ENGINE.handle(opened(), [record(a_step(generation=generation))], NOW)
    assert (changes.counters.corrected, changes.counters.control, len(changes.rows)) == (taken, 1 - taken, taken)


def test_a_step_that_comes_twice_is_taken_once() -> None:
    """A coordinator that was killed sends its last step again."""
    image = opened()
    for offset in (1, 2):
        image.apply(ENGINE.handle(image, [record(a_step(), offset)], NOW))
    assert (image.rows["a"][1], image.sequence, image.counters.control) == (2, 2, 1)


def test_a_step_makes_and_deletes_rows() -> None:
    """A row that is deleted keeps its version, as one that an event deletes."""
    image = opened()
    image.apply(ENGINE.handle(image, [record(a_step(row=b""))], NOW))
    assert image.rows["a"] == (None, 2)
    image.apply(ENGINE.handle(image, [record(a_step(entity="b", expected=0), 2)], NOW))
    assert image.rows["b"] == (AccountRow(balance=70), 3)


def test_a_fold_takes_the_row_as_it_is() -> None:
    """So the log with the step gives the live row, and an event behind it is handled on that."""
    image = opened()
    changes = [ENGINE.handle(image, [record(a_step())], NOW)]
    image.apply(changes[0])
    credit = (2, b"a", CODEC.encode(AccountCredit(account="a", transfer="t", amount=5)), None, 0)
    changes.append(ENGINE.handle(image, [credit], NOW))
    image.apply(changes[1])
    first = ENGINE.handle(ENGINE.image(), [(0, b"a", CODEC.encode(AccountOpen(account="a", balance=100)), None, 0)], NOW)
    records = [log_record(it)[1:] for each in (first, *changes) for it in each.log]
    folded = fold(ENGINE, ENGINE.image(), records)
    assert folded.rows == image.rows == {"a": (AccountRow(balance=75), 3)}


def test_rows_of_another_generation_are_not_folded_beyond_a_step() -> None:
    """It has the row that code of another one makes: taken as it is, it would be wrong, and nobody would see it."""
    [handled] = ENGINE.handle(opened(), [record(a_step())], NOW).log
    _, value, headers = log_record(handled)
    fresh = RowFold(ENGINE, 0, ENGINE.rows(), 1)
    with pytest.raises(RowsNotBuilt, match=r"the correction c1 has set the row a as .*-0:2, to what code of another generation"):
        fresh.take(value, headers)


def test_the_log_has_the_bytes_of_the_inbox_and_says_who_and_why() -> None:
    """Under a key of its own, like any record of the log."""
    sent = record(a_step())
    [handled] = ENGINE.handle(opened(), [sent], NOW).log
    key, value, headers = log_record(handled)
    assert (key, value) == (b"a@2", sent[2])
    read = read_recorded(WireFormat(CODEC, ENGINE.limits), "account", 0, value, headers)
    assert (read.kind, read.place, read.version, read.cause) == (STEP, ("account", "a"), 2, None)
    assert (read.event.data.who, read.event.data.why, read.event.id) == ("ann", "typo", a_step().event_id)


@pytest.mark.parametrize(
    ("step", "key", "headers", "said"),
    [
        (a_step(namespace="transfer"), b"a", None, "came to account"),
        (a_step(), b"b", None, "under the key b'b'"),
        (a_step(), b"a", [("ce_id", b"1")], "with headers"),
        (a_step(row=b"\x00\x00"), b"a", None, "expected 00 and the 4 bytes"),
        (a_step(row=CODEC.encode(AccountOpen(account="a", balance=1))), b"a", None, "does not belong here"),
    ],
)
def test_a_step_that_cannot_be_taken_is_quarantined(step: CorrectionStep, key: bytes, headers: Any, said: str) -> None:
    """Whoever may write to an inbox may write anything: nothing changes, and it is said why."""
    image = opened()
    changes = ENGINE.handle(image, [(1, key, encode_step(step), headers, 0)], NOW)
    [result] = changes.results
    assert (result.outcome, changes.rows, changes.log) == ("quarantined", {}, [])
    assert said in (result.reason or "")


@pytest.mark.parametrize(
    ("limit", "size", "said"),
    [
        ("event_bytes", len(encode_step(a_step())), "bytes"),
        ("row_bytes", len(CODEC.encode_row(AccountRow(balance=70))), "the row that a correction sets holds"),
    ],
)
def test_a_step_is_as_large_as_an_event_and_its_row_as_a_row_may_be(limit: str, size: int, said: str) -> None:
    """And by one byte more it is quarantined, since what is in log and table is read by others with these limits."""
    for most, outcome in ((size, "corrected"), (size - 1, "quarantined")):
        engine = Engine(APP, "account", CODEC, limits=Limits(**{limit: most}))
        changes = engine.handle(opened(), [record(a_step())], NOW)
        [result] = changes.results
        assert result.outcome == outcome
        assert outcome == "corrected" or (said in (result.reason or "") and changes.rows == {})


def test_a_step_of_another_partition_is_quarantined() -> None:
    """Else a row of one key would be in two partitions."""
    engine = Engine(APP, "account", CODEC, inbox=Inbox("account", partition_of=lambda _: 1))
    changes = engine.handle(engine.image(0), [record(a_step(expected=0))], NOW)
    assert changes.results[0].outcome == "quarantined"
    assert "whose partition is another one" in (changes.results[0].reason or "")


TIMED = Engine(timed.app(), "alarm", codec_of(timed.app()))


def waiting(after: int) -> tuple[Image, StepTimer]:
    """An alarm that will ring, and its timer as a step would schedule it."""
    image = TIMED.image()
    touch = AlarmTouch(name="k", number=1, after=after, other="")
    headers = [("ce_id", b"e1"), ("ce_time", b"2026-01-01T00:00:00Z")]
    image.apply(TIMED.handle(image, [(0, b"k", TIMED.codec.encode(touch), headers, 0)], NOW))
    [timer] = image.due.values()
    emitted = timer.emitted
    return image, StepTimer(timer.event_id, timer.at, "alarm", "k", emitted.value, tuple(emitted.headers), timer.own)


def timed_step(image: Image, **other: Any) -> InboxRecord:
    row, version = image.rows["k"]
    assert row is not None
    step = CorrectionStep(
        command="step", namespace="alarm", entity="k", correction="c1", number=1, expected=version,
        row=TIMED.codec.encode_frozen(row)[1],
    )  # fmt: skip
    return record(replace(step, **other))


def test_a_step_drops_and_adds_timers() -> None:
    """A timer that waits for what never was does not fire, and one that should wait does."""
    image, timer = waiting(after=2)
    dropped = (DroppedTimer(timer.event_id, "e1", ""),)
    image.apply(TIMED.handle(image, [timed_step(image, dropped=dropped)], NOW))
    assert len(image.due) == 0
    image.apply(TIMED.handle(image, [timed_step(image, added=(timer,))], NOW))
    assert [it.at for it in image.due.values()] == [timer.at]


def test_a_timer_that_has_fired_is_not_taken_away() -> None:
    """Nor one that there never was: its topic gets no record for it."""
    image, _ = waiting(after=2)
    changes = TIMED.handle(image, [timed_step(image, dropped=(DroppedTimer("fired", "e1", ""),))], NOW)
    assert (changes.counters.corrected, changes.settled) == (1, {})
    assert len(image.due) == 1


def test_a_timer_that_gets_another_time_is_there_once() -> None:
    """The step ends its batch, so nothing behind it sees both."""
    image, timer = waiting(after=2)
    later = replace(timer, at=timer.at + int(timedelta(hours=5) / timedelta(microseconds=1)))
    touch = TIMED.codec.encode(AlarmTouch(name="k", number=2, after=0, other=""))
    behind = (2, b"k", touch, [("ce_id", b"e2"), ("ce_time", b"2026-01-01T04:00:00Z")], 0)
    step = timed_step(image, dropped=(DroppedTimer(timer.event_id, "e1", ""),), added=(later,))
    changes = TIMED.handle(image, [step, behind], NOW)
    assert changes.inbox_next == 2
    image.apply(changes)
    image.apply(TIMED.handle(image, [behind], NOW))
    assert [it.at for it in image.due.values() if it.event_id == timer.event_id] == [later.at]


def test_a_step_is_a_line_of_the_tail() -> None:
    """Who and why are shown, and no bytes."""
    [handled] = ENGINE.handle(opened(), [record(a_step())], NOW).log
    assert handled.event is not None
    logged = LogEvent("account", 0, 1, 2, from_micros(NOW), "corrected", None, handled.event)
    assert line_of(logged) == (
        "00:00:00 account-0:2  account.correction-step a CORRECTED: typo (ann) version=1->2 correction=c1"
    )
