"""A projection that is folded again, or for the first time, is folded beside following, and never silently wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import App, Event, Projection
from streams.codec import codec_of
from streams.kafka.topics import TopicInfo
from streams.server.readmodel import projection_rebuild
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.rebuild_requests import RebuildRequests
from streams.server.readmodel.refolded_projections import RefoldedProjections
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_schema import beside, projection_table
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.applications.shop.events import OrdersPerDayRow
from tests.unit.test_read_model_file import logged

BANK = bank.app()
CODEC = codec_of(BANK)
AT = ("account", 0)


def counting(name: str, by: int) -> Projection[Any]:
    """Adds so much for each account that is opened."""
    made = Projection(name, row=OrdersPerDayRow)

    @made.folds(AccountOpen, key=lambda event: "all")
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=(row.count if row else 0) + by)

    return made


class Following:
    """Follows one log into the file of an application with these projections, whose code has this digest."""

    def __init__(self, folder: Path, projections: Sequence[Projection[Any]], code: str = "1") -> None:
        self.app: App = replace(BANK, projections=projections)
        self.reports: list[FollowerReport] = []
        self.store = Store(folder, "", self.app, CODEC)
        self.store._sources = {it.name: code for it in projections}
        self.store.open()
        self.store.compare({"account-log": TopicInfo("id-1", 1)}, {"account": 1})
        self.store.completed()
        self.state = FollowerState(self.reports.append)
        self.writer = self.store.writer()
        self.logs = LogFollower(self.writer, CODEC, [AT])
        self.logs.merge.ended(AT)
        self.begin_anew()
        self.state.waits, self.state.behind = None, self.state.folding

    def begin_anew(self) -> None:
        corrected = CorrectedFolds(self.store, self.writer, self.state, self.app, CODEC)
        self.again = RefoldedProjections(self.store, self.writer, self.state, CODEC, corrected)

    def take(self, sequences: range, *, commit: bool = True) -> None:
        for sequence in sequences:
            self.logs.take(AT, logged(sequence, CODEC.encode(AccountOpen(account=f"a{sequence}", balance=1))))
        self.logs.flush()
        if commit:
            self.writer.commit()

    def refold(self) -> None:
        self.again.step()
        while self.again.is_busy:
            self.again.step()

    def count(self, name: str) -> int | None:
        with closing(sqlite3.connect(self.store.file)) as db:
            found: int | None = db.execute(f"select sum(f_count) from {projection_table(name)}").fetchone()[0]
            return found

    def end(self) -> None:
        self.store.close()


@pytest.fixture(autouse=True)
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_rebuild, "PIECE", 2)
    monkeypatch.setattr("streams.server.readmodel.refolded_projections.TURN", 0.0)
    monkeypatch.setattr("streams.server.readmodel.refolded_projections.LOOK_EVERY", 0.0)


def test_what_comes_while_a_projection_is_folded_again_is_in_it(tmp_path: Path) -> None:
    """Each event once, also one that is taken and not written yet; until then what was there is answered, at its position."""
    before = Following(tmp_path, [counting("opened", 1)])
    before.take(range(1, 8))
    before.end()
    it = Following(tmp_path, [counting("opened", 2)], "2")
    assert (it.state.held, it.state.behind is not None) == ({"opened": {"account-0": 7}}, True)
    it.again.step()
    it.take(range(8, 11))
    assert (it.count("opened"), it.again.is_busy) == (7, True)
    it.take(range(11, 12), commit=False)
    for _ in range(10):
        it.again.step()
    assert (it.count("opened"), it.again.is_busy) == (7, True), "one event is neither in the file nor folded again"
    it.writer.commit()
    it.refold()
    it.take(range(12, 13))
    assert (it.count("opened"), it.state.held, it.state.behind, it.state.rebuilding) == (24, {}, None, {})
    told = [report.rebuilding["opened"] for report in it.reports if isinstance(report.rebuilding, dict) and report.rebuilding]
    assert (told[0], sorted(told)) == (0, told), "it is told how far it is"
    it.end()
    after = Following(tmp_path, [counting("opened", 2)], "2")
    assert after.store.changed == []
    after.end()


@pytest.mark.parametrize("other", ["opened__2", "opened-again", "opened_again"])
def test_folding_again_leaves_a_projection_of_nearly_the_same_name_alone(tmp_path: Path, other: str) -> None:
    """No name that an application may give is that of the table beside."""
    it = Following(tmp_path, [counting("opened", 1), counting(other, 2)])
    it.take(range(1, 8))
    RebuildRequests(it.store.file.parent).ask("opened")
    it.refold()
    it.take(range(8, 9))
    assert (it.count("opened"), it.count(other)) == (8, 16)
    it.end()


def test_a_projection_that_goes_while_it_is_folded_again_leaves_nothing(tmp_path: Path) -> None:
    """Neither its table nor the one beside."""
    before = Following(tmp_path, [counting("opened", 1), counting("other", 1)])
    before.take(range(1, 8))
    before.end()
    it = Following(tmp_path, [counting("opened", 2), counting("other", 1)], "2")
    it.again.step()
    it.end()
    after = Following(tmp_path, [counting("other", 1)])
    found = after.store._db.execute("select name from sqlite_master where type = 'table' and name like '%opened%'").fetchall()
    assert found == []
    after.end()


def test_code_that_is_taken_back_does_not_leave_a_gap(tmp_path: Path) -> None:
    """What came while the other code was deployed was folded into nothing, so all is folded again."""
    before = Following(tmp_path, [counting("opened", 1)])
    before.take(range(1, 4))
    before.end()
    other = Following(tmp_path, [counting("opened", 2)], "2")
    other.take(range(4, 6))
    other.end()
    back = Following(tmp_path, [counting("opened", 1)])
    assert (back.count("opened"), back.state.held) == (3, {"opened": {"account-0": 3}})
    back.refold()
    assert back.count("opened") == 5
    back.end()


def test_a_projection_that_is_new_reads_nothing_again(tmp_path: Path) -> None:
    """It is folded from the logs in the file, and there is nothing to be answered until then; what is gone leaves nothing."""
    before = Following(tmp_path, [counting("opened", 1)])
    before.take(range(1, 6))
    before.end()
    for _ in range(2):  # a restart does not take it for whole
        it = Following(tmp_path, [counting("opened", 1), counting("more", 3)])
        assert (it.state.missing, it.store.changed, it.state.held) == (["more"], ["more"], {"more": {}})
        it.again.step()
        it.take(range(6, 6))
        it.end()
    it = Following(tmp_path, [counting("more", 3)])
    it.refold()
    it.take(range(6, 7))
    assert (it.count("more"), it.state.missing, it.state.behind) == (18, [], None)
    with closing(sqlite3.connect(it.store.file)) as db:
        tables = db.execute("select name from sqlite_master where name like 'p\\_%' escape '\\' and type = 'table'").fetchall()
    assert tables == [("p_more",)]
    it.end()


def test_a_person_has_a_projection_folded_again(tmp_path: Path) -> None:
    """The server goes on folding what comes, and says how far it is; a name that it does not know is left."""
    it = Following(tmp_path, [counting("opened", 1)])
    it.take(range(1, 8))
    it.store._db.execute("update p_opened set f_count = 1000")
    requests = RebuildRequests(it.store.file.parent)
    requests.ask("opened")
    requests.ask("gone")
    it.again.step()
    assert (it.again.is_busy, it.state.behind, it.state.held, requests.percent("opened")) == (True, None, {}, 28)
    it.take(range(8, 9))
    it.refold()
    assert (it.count("opened"), requests.percent("opened"), requests.names()) == (8, None, ["gone"])
    it.end()


def test_a_fold_that_raises_when_it_is_folded_again_stands_still(tmp_path: Path) -> None:
    """Not silently: with the event that it stands at, also after a restart."""
    before = Following(tmp_path, [counting("opened", 1)])
    before.take(range(1, 4))
    before.end()
    raising = Projection("opened", row=OrdersPerDayRow)

    @raising.folds(AccountOpen, key=lambda event: "all")
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        if event.key == "a2":
            raise ValueError("not today")
        return OrdersPerDayRow(count=(row.count if row else 0) + 1)

    for _ in range(2):
        it = Following(tmp_path, [raising], "2")
        it.refold()
        assert "not today" in (it.writer.projections["opened"].fault or "")
        assert it.count("opened") == 1
        it.end()


def test_what_cannot_be_written_once_is_folded_again_later(tmp_path: Path) -> None:
    """A piece that the disk has no room for leaves no transaction open: the same connection goes on once there is some."""
    it = Following(tmp_path, [counting("opened", 1)])
    it.take(range(1, 8))
    it.store._db.execute("update p_opened set f_count = 1000")
    RebuildRequests(it.store.file.parent).ask("opened")
    it.again.step()
    table = beside("opened")
    it.store._db.execute(f"create trigger full before update on {table} begin select raise(fail, 'no room'); end")
    with pytest.raises(sqlite3.Error, match="no room"):
        it.again.step()
    it.store._db.execute("drop trigger full")
    it.begin_anew()
    it.refold()
    assert it.count("opened") == 7
    it.end()
