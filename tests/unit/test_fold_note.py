"""A fold that ends its process is found by what the processes before have noted, and stands still."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from streams import Projection
from streams.server.readmodel import fold_record
from streams.server.readmodel.fold_note import LARGEST, NOTE, FoldNote, FoldPlace
from streams.server.readmodel.fold_record import FoldRecord, FoldWatch, shared_file
from tests.applications.bank.events import AccountOpen
from tests.applications.shop.events import OrdersPerDayRow
from tests.unit.test_refolded_projections import Following, counting

HERE = FoldPlace("charges", "order.place, order-1:7")


def ended_in(folder: Path, *places: FoldPlace | None) -> FoldNote:
    """The note of a process, after others that ended in these folds, or in none."""
    for place in places:
        note = FoldNote(folder)
        note.begin(*HERE)
        if place is None:
            note.end()
        else:
            note.begin(*place)
        note.close()
    return FoldNote(folder)


@pytest.mark.parametrize(
    ("places", "fatal"),
    [
        ([], None),
        ([HERE], None),
        ([HERE, HERE], HERE),
        ([HERE, HERE, HERE], HERE),
        ([HERE, None, HERE], None),
        ([HERE, HERE, None], None),
        ([FoldPlace("charges", "order.place, order-1:6"), HERE], None),
        ([FoldPlace("others", HERE.where), HERE], None),
    ],
)
def test_two_processes_that_ended_at_one_event_are_no_chance(
    places: list[FoldPlace | None], fatal: FoldPlace | None, tmp_path: Path
) -> None:
    """Whoever ends processes for another reason meets the same fold of the same event hardly ever twice in a row."""
    note = ended_in(tmp_path, *places)
    assert note.fatal == fatal
    note.close()


def test_what_cannot_be_read_or_noted_is_no_reason(tmp_path: Path) -> None:
    """Nor what was noted before somebody started the server."""
    (tmp_path / NOTE).write_bytes(b"\xff{")
    long = FoldPlace("charges", "x" * LARGEST)
    assert ended_in(tmp_path, long, long).fatal != long
    assert ended_in(tmp_path, HERE, HERE).fatal == HERE
    FoldNote.forget(tmp_path)
    assert ended_in(tmp_path).fatal is None


def test_the_fold_that_ended_its_process_stands_still_and_others_go_on(tmp_path: Path) -> None:
    """It says where; and the note has no fold once it has returned."""
    (tmp_path / "notes").mkdir()
    bad = FoldPlace("bad", "account.open, account-0:1")
    note = ended_in(tmp_path / "notes", bad, bad)
    following = Following(tmp_path, [counting("good", 1), counting("bad", 1)])
    following.writer.note_folds(note)
    following.take(range(1, 4))
    good, stopped = following.writer.projections["good"], following.writer.projections["bad"]
    assert (good.fault, stopped.fault) == (None, (
        "the projection bad ended the process that folds it, twice, at account.open, account-0:1. It stands still: correct it and "
        "start the server again"
    ))  # fmt: skip
    rows = {name: following.store._db.execute(f"select body from p_{name}").fetchall() for name in ("good", "bad")}
    assert (len(rows["good"]), rows["bad"]) == (1, [])
    assert FoldNote(tmp_path / "notes").fatal is None
    note.close()


def test_so_does_one_that_is_folded_again(tmp_path: Path) -> None:
    """Its code was changed, and ends the process at an event of long ago; others are folded again with it."""
    names = ("good", "bad")
    before = Following(tmp_path, [counting(name, 1) for name in names])
    before.take(range(1, 4))
    before.end()
    (tmp_path / "notes").mkdir()
    place = FoldPlace("bad", "account.open, account-0:2")
    note = ended_in(tmp_path / "notes", place, place)
    following = Following(tmp_path, [counting(name, 2) for name in names], "2")
    following.writer.note_folds(note)
    following.refold()
    assert [following.count(name) for name in names] == [6, None]
    faults = {name: it.fault for name, it in following.writer.projections.items()}
    assert (faults["good"], "twice, at account.open, account-0:2" in str(faults["bad"])) == (None, True)
    note.close()
    following.end()


@pytest.mark.parametrize("again", [False, True])
def test_another_process_sees_which_fold_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """Also while a projection is folded again; and none between two folds."""
    monkeypatch.setattr(fold_record, "TOLD", 0.0)
    seen, made = list[str](), Projection[OrdersPerDayRow]("slow", row=OrdersPerDayRow)
    with shared_file() as file:
        record, watch = FoldRecord(file.fileno()), FoldWatch(file.fileno())

        @made.folds(AccountOpen, key=lambda event: "all")
        def fold(row: OrdersPerDayRow | None, event: object) -> OrdersPerDayRow:
            watch.look()
            seen.append(str(watch.look()))
            return OrdersPerDayRow(count=1)

        if again:
            before = Following(tmp_path, [counting("slow", 1)])
            before.take(range(1, 2))
            before.end()
        following = Following(tmp_path, [made], "2")
        following.writer.note_folds(None, record)
        following.refold()
        following.take(range(1 + again, 3))
        following.end()
    places = [f"the fold of the projection slow has not returned for 0 s, at account.open, account-0:{at}" for at in (1, 2)]
    assert (seen, watch.look()) == (places, None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is a temporary file")
def test_no_disk_is_needed_to_see_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server follows also where temporary files have no room, or no folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with shared_file() as file:
        record, watch = FoldRecord(file.fileno()), FoldWatch(file.fileno())
        monkeypatch.setattr(fold_record, "TOLD", 0.0)
        record.begin("charges", "order.place", "order-1:7")
        assert (watch.look(), str(watch.look()).partition(" has ")[0]) == (None, "the fold of the projection charges")
