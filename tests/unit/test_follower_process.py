"""The process that writes the read model's file, as a server listens to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.server.readmodel import child_follower, follower_process
from streams.server.readmodel.fold_record import shared_file
from streams.server.readmodel.follower_process import FollowerProcess
from streams.server.readmodel.model import ReadModel
from tests.applications import bank
from tests.support import committed_report
from tests.support.workers import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ReadModel]]:
    """Follows in a folder; the process tells at once of a file that is not there."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(follower_process, "MODULE", committed_report.__name__)
    monkeypatch.setattr(follower_process, "AGAIN", 0.1)
    stopped, threads = threading.Event(), list[threading.Thread]()

    def follow(folder: Path) -> ReadModel:
        app = bank.app()
        model = ReadModel(app, codec_of(app))
        threads.append(threading.Thread(target=FollowerProcess(model, "nobody:0", folder).run, args=(stopped,), daemon=True))
        threads[0].start()
        return model

    yield follow
    stopped.set()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_a_file_that_cannot_be_read_is_a_fault_and_is_asked_for_again(
    tmp_path: Path, following: Callable[[Path], ReadModel], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would listen any more: the server would answer what is old as if it were the present."""
    model = following(tmp_path)
    until(lambda: caplog.text.count("its file is not there") >= 2, "it is not started again")
    assert "its file is not there" in model.faults["follower"]


def test_a_process_that_cannot_be_started_is_a_fault_and_is_tried_again(
    tmp_path: Path, following: Callable[[Path], ReadModel], caplog: pytest.LogCaptureFixture
) -> None:
    """As when there is no descriptor left for a while; here its folder comes later."""
    model = following(tmp_path / "later")
    until(lambda: caplog.text.count("cannot be started") >= 2, "it is not tried again")
    assert "that is tried again" in model.faults["follower"]
    (tmp_path / "later").mkdir()
    until(lambda: "its file is not there" in caplog.text, "it is not started")


def test_what_an_application_prints_is_no_report(tmp_path: Path) -> None:
    """A server that took it for one would end the process, and the next one, and never be ready."""
    (tmp_path / "noisy.py").write_text("from tests.applications.bank import app\nprint('hello')\n")
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "RETOLD_APP": "noisy:app",
        "RETOLD_STATE": str(tmp_path / "state"),
    }  # fmt: skip
    with shared_file() as folds:
        number = folds.fileno()
        command = [sys.executable, "-P", "-m", child_follower.__name__, "127.0.0.1:1", str(number)]
        done = subprocess.run(
            command, input=b"", capture_output=True, cwd=tmp_path, env=env, timeout=120, check=True, pass_fds=[number]
        )
    assert (done.stdout, done.stderr.split()) == (b"", [b"hello"])
