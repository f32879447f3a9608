"""What the quick way leaves to the careful one, condition by condition: each case fails if that condition is switched off.

A publisher's first record is always read carefully, so each case has several; both ways must give equal changes (`BothWays`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from streams.engine.attributes import time_text
from streams.engine.envelope import HOPS_LIMIT, LogHeader, pack
from streams.engine.event_handlers import Limits
from streams.engine.fold import RAISES, RowFold
from streams.engine.quick_types import PREFIX
from streams.engine.records import ACCEPTED, Headers
from streams.engine.times import to_micros
from streams.schemas.encoding_lines import zigzag
from streams.testing.world_io import headers_of
from tests.applications import probe, timed
from tests.applications.probe.events import ProbeDo
from tests.applications.timed.events import AlarmTouch
from tests.support.both_ways import START, BothWays, partition_of

Record = tuple[str, bytes | None, bytes | None, Headers | None]
Case = Callable[["Probed"], None]


class Probed(BothWays):
    """Both ways with the application `probe`, by a publisher who is known: the next plain record is taken in the quick way."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(probe.app(), limits or Limits())
        self.made = 0
        for key in ("a", "b"):
            self.ends(self.do(key, "echo"), self.do(key, "echo"))
        before = self.quick
        self.ends(self.do("a", "echo"))
        assert self.quick == before + 2, "it, and what it emits"

    def do(self, key: str, how: str = "count", event_id: str = "", source: str = "test", text: str = "") -> Record:
        self.made += 1
        data = ProbeDo(name=key, how=how, text=text)
        headers = headers_of(data, event_id or f"id-{self.made}", source, time_text(START))
        return "probe", key.encode(), self.codec.encode(data), headers

    def ends(self, *batch: Record, careful: bool = False) -> None:
        """Handle these together, and then all that follows. `careful`: none of them is taken in the quick way."""
        for record in batch:
            self.put(*record)
        before = self.quick
        for at in range(2):
            self._all("probe", at)
        if careful:
            assert self.quick == before
        while any(self.inboxes.values()):
            self.handle(0, 39, 1)

    def _all(self, namespace: str, at: int) -> None:
        place = (namespace, at)
        if inbox := self.inboxes[place]:
            number = [it for it in self._places if self.inboxes[it]].index(place)
            assert len(inbox) <= 40
            self.handle(number, 39, 1)


def changed(record: Record, **values: bytes) -> Record:
    namespace, key, value, headers = record
    return namespace, key, value, [(name, values.get(name.replace("-", "_"), text)) for name, text in headers or []]


def with_key(record: Record, key: bytes) -> Record:
    return record[0], key, *record[2:]


def another_type(both: Probed) -> None:
    for _ in range(3):
        both.ends(changed(both.do("a"), ce_type=b"probe.undo"), careful=True)


def another_records_key(both: Probed) -> None:
    both.ends(*(with_key(both.do("a"), b"b") for _ in range(3)), careful=True)


def another_partition(both: Probed) -> None:
    for number in range(3):
        both.put(*both.do(f"new{number}"), astray=True)
    both.ends()


def a_key_that_may_not_be_one(both: Probed) -> None:
    plain = both.codec.encode(ProbeDo(name="z"))
    for key in ("\x01k", "\x00", "", "k" * 513, "\u00e4" * 300):
        odd = plain[:PREFIX] + zigzag(len(key.encode())) + key.encode() + plain[PREFIX + 2 :]
        both.ends(*(("probe", key.encode(), odd, both.do("a")[3]) for _ in range(2)), careful=True)


def a_last_header_that_only_retold_writes(both: Probed) -> None:
    for name in ("retold", "ce_outcome"):
        for _ in range(3):
            namespace, key, value, headers = both.do("a")
            both.ends((namespace, key, value, [*(headers or []), (name, b"7")]))
            assert both.results[-1].carried == headers


def behind_a_parked_event(both: Probed) -> None:
    both.ends(both.do("a", "raise"), both.do("a"), both.do("a"))
    both.ends(both.do("a"), both.do("b"))
    assert {it.outcome for it in both.results[-2:]} == {"parked", "accepted"}


def a_parked_id_again_for_another_key(both: Probed) -> None:
    key = next(f"c{number}" for number in range(99) if partition_of(b"c%d" % number) == partition_of(b"a"))
    both.ends(both.do("a", "raise", "once"), both.do(key, "count", "once"))
    both.ends(both.do(key, "count", "once"), careful=True)


def an_id_again(both: Probed) -> None:
    both.ends(both.do("a", "count", "twice"), both.do("a", "count", "twice"))
    both.ends(both.do("a", "count", "twice"), careful=True)


def ids_of_all_lengths(both: Probed) -> None:
    for name in ("s", "s" * 9, "l" * 70, "l" * 300):
        both.ends(both.do("a", "count", name), both.do("b", "count", name + "2"))
        both.ends(both.do("a", "count", name), both.do("b", "count", name + "2"), careful=True)


def a_workers_source_without_a_cause(both: Probed) -> None:
    both.ends(*(both.do("a", source="retold/x/y") for _ in range(3)), careful=True)


def what_raises(both: Probed) -> None:
    for how in ("raise", "none", "undeclared", "mutate row", "bad row", "refusing row", "wrong row", "bad emission", "refuse"):
        both.ends(both.do("a", how), both.do("a"))
        both.ends(both.do("b", how))
        for _ in range(3):
            both.command(0, 1, 0)
            both.ends()


def after_a_restart(both: Probed) -> None:
    for number in range(len(both._places)):
        both.restart(number, 0, 0)
    both.ends(both.do("a"), both.do("b"))
    assert both.results[-1].outcome == "accepted"


def what_is_emitted_under_another_id(both: Probed) -> None:
    """Three times, from the next of its cause on."""
    heard = [it for it in both.everything if it[0] == "echo"]
    for number in range(3):
        namespace, key, value, headers = heard[number % len(heard)]
        both.ends(changed((namespace, key, value, headers), ce_id=b"forged-%d" % number))


def heard_again(both: Probed) -> list[Record]:
    """What was emitted for four keys, which nobody remembers any more."""
    count = len(both.everything)
    both.ends(*(both.do(key, "echo") for key in "abcd"))
    for side in both._sides.values():
        for each in side:
            each.image.window.restore({})
    return [it for it in both.everything[count:] if it[0] == "echo"]


def what_comes_from_too_far(both: Probed) -> None:
    for record in heard_again(both):
        both.ends(changed(record, ce_hops=b"%d" % (HOPS_LIMIT + 1)))
    assert [it.outcome for it in both.results[-4:]] == ["parked"] * 4


def a_cause_that_is_recorded_later_or_far_too_late(both: Probed) -> None:
    for hours, record in zip((0, 1, 2, 3000), heard_again(both), strict=True):
        both.ends(changed(record, ce_causetime=time_text(both.now + timedelta(hours=hours, seconds=-1))))
    assert both.results[-1].recorded < to_micros(both.now + timedelta(hours=2))


@pytest.mark.parametrize(
    "case",
    [
        another_type, another_records_key, another_partition, a_key_that_may_not_be_one, a_last_header_that_only_retold_writes,
        behind_a_parked_event, a_parked_id_again_for_another_key, an_id_again, ids_of_all_lengths,
        a_workers_source_without_a_cause, what_raises, after_a_restart, what_is_emitted_under_another_id, what_comes_from_too_far,
        a_cause_that_is_recorded_later_or_far_too_late,
    ],
)  # fmt: skip
def test_what_is_not_plain_is_handled_as_the_careful_way_does(case: Case) -> None:
    """One case for each condition."""
    case(Probed())


def test_an_id_is_known_in_both_generations_of_the_window() -> None:
    """And no longer once it is in none."""
    both = Probed(Limits(window=4))
    for distance in range(9):
        both.ends(both.do("a", "count", f"first-{distance}"))
        for _ in range(distance):
            both.ends(both.do("a"))
        both.ends(both.do("a", "count", f"first-{distance}"))
    assert len({it.duplicate for it in both.results}) == 2


@pytest.mark.parametrize("limits", [Limits(event_bytes=40), Limits(row_bytes=8)])
def test_what_is_too_large_is_found_at_each_record(limits: Limits) -> None:
    """Of an event, and of the row that its handler leaves."""
    both = Probed(limits)
    both.ends(*(both.do("a", text="x" * 50) for _ in range(3)))
    assert {it.outcome for it in both.results[-3:]} <= {"parked", "quarantined"}


def test_a_timer_fires_before_the_next_event_of_its_key() -> None:
    """Whether it was scheduled in this batch or before it."""
    both = BothWays(timed.app(), Limits())
    for number, batch in enumerate([6, 3, 1, 1, 1]):
        for each in range(batch):
            data = AlarmTouch(name="a", number=1, after=1 if each % 2 == 0 else 0, other="")
            at = time_text(START.replace(hour=4 * number, minute=9 * each))
            both.put("alarm", b"a", both.codec.encode(data), headers_of(data, f"{number}-{each}", "test", at))
        while any(both.inboxes.values()):
            both.handle(0, 39, 1)
    assert any(it.timer for it in both.results)


def test_a_row_that_refuses_when_it_is_read_is_told_by_a_fold_as_what_raises() -> None:
    """As a worker parks its event, and rejects none that its handler has not rejected."""
    both = Probed()
    engine = both._sides["probe", 0][0].engine
    told = RowFold(engine, 0, engine.rows(), 0).take(*log_record_of(both.do("a", "refusing row")))
    assert told is not None
    assert told.kind == RAISES


def log_record_of(record: Record) -> tuple[bytes | None, Headers]:
    return record[2], [*(record[3] or []), pack(LogHeader(1, 1, 0, ACCEPTED, ""))]
