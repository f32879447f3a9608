"""The end of an event log, whatever an operator deleted from it and in however many looks it was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.engine.batch import PartitionWork
from streams.engine.engine import Engine
from streams.engine.stored import log_record
from streams.worker.log_tail import LogTail
from streams.worker.restore import FARTHEST, _width
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.support.kept import Kept

APP = probe.app()
ENGINE = Engine(APP, "echo", codec_of(APP))


def log_of(count: int) -> list[Kept]:
    """The records of a log of so many events of one key."""
    value = ENGINE.codec.encode(EchoHear(name="k"))
    records = [(n, b"k", value, [("ce_id", b"%d" % n)], 0) for n in range(count)]
    image = ENGINE.image()
    *_, changes = ENGINE.process(image, PartitionWork(records=records), 1)
    return [Kept(*log_record(handled)) for handled in changes.log]


LOG = log_of(12)


def tail_of(records: list[Kept], window: int = 100) -> LogTail:
    tail = LogTail(ENGINE.wire.envelopes, window)
    for record in records:
        tail.take([record])  # type: ignore[list-item]  # reads alike
    return tail


@given(st.sets(st.integers(1, 12)), st.integers(0, 12))
def test_what_was_deleted_is_no_gap_and_moves_no_end(deleted: set[int], cut: int) -> None:
    """Its tombstone lies behind all that was logged, in whatever look it is read."""
    tombstones = [Kept(b"k@%d" % sequence, None, []) for sequence in sorted(deleted)]  # type: ignore[arg-type]  # a deletion
    tail = tail_of([*LOG[cut:], *tombstones])
    tail.put_before(tail_of(LOG[:cut]))
    assert (tail.sequence, tail.gap) == (12, None)
    assert tail.count == 12 - len(deleted)


@given(st.integers(2, 11))
def test_what_is_missing_is_a_gap(missing: int) -> None:
    """Nobody deleted it: it was lost."""
    tail = tail_of([record for n, record in enumerate(LOG, 1) if n != missing])
    assert tail.gap == (missing, missing)


def test_a_tombstone_from_before_what_was_read_is_no_gap() -> None:
    """An operator may delete an old record; what lies between was not read at all."""
    tail = tail_of([*LOG[8:], Kept(b"k@2", None, [])])  # type: ignore[arg-type]  # as above
    assert (tail.sequence, tail.gap) == (12, None)


def test_no_more_is_remembered_than_the_window_holds() -> None:
    """However far back one had to look; the latest count."""
    tail = tail_of(LOG[10:], 3)
    tail.put_before(tail_of(LOG[:10]))
    assert [sequence for sequence, _, _ in tail.remembered().values()] == [10, 11, 12]


@given(st.integers(1, 12))
def test_whoever_follows_a_log_keeps_less_than_two_windows(window: int) -> None:
    """All of the last one is among it, however long the log has become."""
    tail = tail_of([], window)
    for n, record in enumerate(LOG, 1):
        tail.take([record])  # type: ignore[list-item]  # reads alike
        assert tail.count < 2 * window
        kept = [sequence for sequence, _, _ in tail.remembered().values()]
        assert kept[-window:] == list(range(max(1, n - window + 1), n + 1))
        assert (tail.sequence, tail.gap, tail.full) == (n, None, n >= window)


@given(st.integers(1, 200_000), st.integers(0, 200_000))
def test_a_next_look_is_as_wide_as_is_likely_needed(span: int, found: int) -> None:
    """A log of 20 events a transaction needs a twentieth more, and not eight times as much."""
    wanted = 200_000
    width = _width((1_000_000, 1_000_000 + span), min(found, span), wanted)
    assert 100 <= width <= max(100, FARTHEST * span)
    if 0 < found <= span:
        assert width <= max(100, (wanted - found) * span * 6 // (5 * found))
