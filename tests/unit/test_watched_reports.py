"""A process that follows Kafka, or owns those that answer, and hangs: what is answered is not taken for the present."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.server.processes import server_owner
from streams.server.processes.process_link import ProcessLink
from streams.server.processes.server_owner import ServerOwner
from streams.server.readmodel import fold_record, follower_process, follower_state, watched_reports
from streams.server.readmodel.follower_process import FollowerProcess
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.model import ReadModel
from tests.applications import bank
from tests.support import hanging_fold, stopped_follower
from tests.support.workers import until

ROOT = Path(__file__).parents[2]
LAGS = [("table", "account", 0, 0, None)]
READ = FollowerReport(waits=None, behind=None, lags=LAGS)


def new_model() -> ReadModel:
    app = bank.app()
    return ReadModel(app, codec_of(app))


def test_a_follower_that_is_stopped_is_said_until_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last word, that all is read, would be told for ever. What it said before holds again once it goes on."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(follower_process, "MODULE", stopped_follower.__name__)
    monkeypatch.setattr(watched_reports, "SILENT", 0.5)
    model, stopped = new_model(), threading.Event()
    following = threading.Thread(target=FollowerProcess(model, "nobody:0", tmp_path).run, args=(stopped,), daemon=True)
    following.start()
    until((tmp_path / "pid").exists, "it does not start")
    until(lambda: model.behind is not None and "has told nothing since" in model.behind, "it is not missed")
    assert {*model.faults} == {"disk", "follower"}
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
    until(lambda: model.behind is None, "it is missed for ever")
    assert (model.waits, model.faults) == (None, {"disk": "it is full"})
    stopped.set()
    following.join(30)


def test_a_fold_that_does_not_return_is_named_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though no other thread of its process can run: by its projection, event and partition, with its stack, until it returns."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(follower_process, "MODULE", hanging_fold.__name__)
    monkeypatch.setattr(fold_record, "TOLD", 0.5)
    model, stopped = new_model(), threading.Event()
    following = threading.Thread(target=FollowerProcess(model, "nobody:0", tmp_path).run, args=(stopped,), daemon=True)
    following.start()
    until(lambda: "fold" in model.faults, "it is not named")
    place = "the fold of the projection balances has not returned for 0.5 s, at account.open, account-3:7"
    assert model.faults == {"disk": "it is full", "fold": place}
    assert place in caplog.text
    until(lambda: model.faults == {"disk": "it is full", "later": "another"}, "it is named for ever")
    assert "sleep_with_the_lock" in capfd.readouterr().err
    stopped.set()
    following.join(30)


def test_an_owner_that_is_stopped_is_said_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each HTTP process hears of the follower by its owner alone, which tells something whatever the follower does."""
    monkeypatch.setattr(watched_reports, "SILENT", 0.5)
    monkeypatch.setattr(server_owner, "BEAT", 0.0)
    owner, model, stopped = ServerOwner(), new_model(), threading.Event()
    link = ProcessLink(owner.new_process().detach(), model, lambda why: None)
    linked = threading.Thread(target=link.run, args=(stopped,), daemon=True)
    linked.start()
    owner.take(READ)
    until(lambda: model.lag(["table"], [("account", 0)]) == 0, "nothing is heard of it")
    until(lambda: model.behind is not None and "the process that owns" in model.behind, "it is not missed")
    assert model.lag(["table"], [("account", 0)]) is None
    owner.beat()
    until(lambda: model.behind is None, "it is missed for ever")
    assert model.lag(["table"], [("account", 0)]) == 0
    stopped.set()
    link.end()
    linked.join(30)
    link.close()


def test_a_follower_tells_something_though_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not each time that it looks."""
    told = list[FollowerReport]()
    state = FollowerState(told.append)
    state.beat()
    assert told == []
    monkeypatch.setattr(follower_state, "BEAT", 0.0)
    state.beat()
    assert told == [FollowerReport()]
