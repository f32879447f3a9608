"""The server beside the worker of `retold run`, and processes that end with the one that began them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchfiles import Change

from streams.cli.commands.run import server_beside
from streams.cli.commands.worker_role import words_beside
from streams.cli.process import exit_codes
from streams.cli.process.child_process import ChildProcess
from streams.cli.process.http_processes import _HttpProcess
from streams.cli.process.reloader import Told, _filter
from streams.cli.process.shutdown import Shutdown
from streams.cli.process.supervised_process import ReadyAgain, SupervisedProcess
from streams.config import load
from streams.server.processes.server_owner import ServerOwner
from tests.support.workers import until


@pytest.fixture
def shutdown() -> Iterator[Shutdown]:
    """Signals go where they went before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Shutdown()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a project in which no broker runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RETOLD_")}
    return {**kept, "RETOLD_STATE": str(tmp_path / "state"), "RETOLD_HTTP_PORT": "0", "RETOLD_APP": "processors:app"}


def test_a_child_ends_when_it_is_asked_to(tmp_path: Path, environ: dict[str, str]) -> None:
    """When its stdin closes, with the code of a clean end; neither its folder's modules nor Ctrl-C come in between."""
    (tmp_path / "typer.py").write_text("raise SystemExit(99)")
    with ChildProcess("server", "--wait", "60", environ=environ, folder=tmp_path) as child:
        assert child.code is None
        assert os.getsid(child.process.pid) != os.getsid(0)  # so it is in no group that the terminal signals
        assert child.stop(60) == 0
    assert child.stop() == 0


def test_a_child_that_does_not_end_is_ended_by_force(environ: dict[str, str]) -> None:
    """Nothing of us waits for it for ever."""
    child = ChildProcess("server", "--wait", "60", environ=environ)
    child.process.send_signal(signal.SIGSTOP)
    assert child.stop(0.2) == -signal.SIGKILL


def test_a_worker_that_is_started_again_waits_for_its_broker(environ: dict[str, str]) -> None:
    """One of several that was killed while the broker is away would end the others, which go on when it is back."""
    with ChildProcess(*words_beside(["user"], keep_going=False), environ=environ) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.process.wait(8)
        assert child.stop(60) == exit_codes.OK


def test_a_server_that_ends_is_started_again(
    listening: socket.socket, shutdown: Shutdown, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A second later, with a sentence that says how it ended; whoever asks meanwhile is not refused."""
    with server_beside(listening, shutdown, environ) as server:
        until(lambda: server.pid != 0, "it has not begun")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: server.pid != first, "it is not started again")
        with socket.create_connection(listening.getsockname(), timeout=60):
            pass
    assert not Path(f"/proc/{server.pid}").exists()
    said = capfd.readouterr().err  # the second one may have added already that no broker is there
    assert said.startswith("The server was ended by SIGKILL; restarting it in 1 s. Everything else keeps running.\n")
    assert (shutdown.code, listening.fileno()) == (exit_codes.OK, -1)


def test_a_change_during_the_pause_starts_it_at_once(
    shutdown: Shutdown, environ: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever corrects what ended it does not wait for up to half a minute."""
    monkeypatch.setattr("streams.cli.process.supervised_process.LEAST_PAUSE", 600.0)
    monkeypatch.setattr("streams.cli.process.supervised_process.MOST_PAUSE", 600.0)
    said = ""

    def told(times: int) -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return said.count("restarting it in 600 s") >= times

    with SupervisedProcess("The server", ["nonsense"], shutdown, final=lambda _: False, environ=environ) as server:
        until(lambda: told(1), "it has not ended")
        server.restart()
        until(lambda: told(2), "it is not started again")


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_wrong_setting_ends_a_server_that_begins_and_none_that_answers(
    shutdown: Shutdown, was_ready: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its processes that is started again may meet a file that is just being changed: the others go on."""
    monkeypatch.setenv("RETOLD_HTTP_PORT", "none")
    owner = ServerOwner()
    process = _HttpProcess("HTTP process 1 of 2", ["server"], shutdown, [], owner.new_process)
    if was_ready:
        process.is_ready("Ready.")
    said = ""

    def told() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "HTTP process 1 of 2 has ended with exit code 3; restarting it in" in said

    with process:
        if was_ready:
            until(told, "it is not started again")
            assert not shutdown.stop.is_set()
        else:
            assert shutdown.stop.wait(120)
    owner.end()
    assert shutdown.code == (exit_codes.OK if was_ready else exit_codes.CONFIGURATION)


def test_a_process_that_cannot_be_supervised_ends_everything(
    shutdown: Shutdown, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Else a worker would be missing, and the command would go on as if it were there."""

    def fail(code: int) -> bool:
        raise PermissionError(13, "no note can be read")

    with SupervisedProcess("Worker 1 of 2", ["nonsense"], shutdown, final=fail, environ=environ):
        assert shutdown.stop.wait(120)
    assert shutdown.code == exit_codes.FAULT
    said = capfd.readouterr().err
    sentence = "Worker 1 of 2 cannot be supervised, by a fault of retold's own (PermissionError: [Errno 13] no note can be read). "
    assert f"{sentence}Everything ends.\nTraceback" in said


def test_it_is_told_each_time_that_all_are_ready(shutdown: Shutdown) -> None:
    """Not while one of them is away, and once for each time."""
    one, two = (SupervisedProcess(name, ["nonsense"], shutdown, final=lambda _: False) for name in ("One", "Two"))
    ready_again = ReadyAgain([one, two])
    assert not ready_again()
    one.is_ready("Ready: one")
    assert not ready_again()
    two.is_ready("Ready: two")
    assert (ready_again(), ready_again()) == (True, False)
    one.ready.clear()
    assert not ready_again()
    one.is_ready("Ready: three")
    assert (ready_again(), ready_again(), one.line) == (True, False, "Ready: three")


def test_the_same_breach_is_shown_once(tmp_path: Path) -> None:
    """A file that is saved again with what was wrong in it before needs a line, not all of it."""
    told = Told("item.py:3: a breach.")
    assert told.sentence("item.py", "item.py:3: a breach.\n", "waiting") == (
        "item.py changed, and the laws are still broken as shown above; waiting."
    )
    assert told.sentence("item.py", "item.py:4: another\n", "waiting").endswith("broken; waiting:\nitem.py:4: another")


def test_only_our_own_state_is_not_watched(tmp_path: Path) -> None:
    """A folder whose name begins like the state folder's is the project's."""
    counts = _filter(load({"RETOLD_STATE": str(tmp_path / "state")}, start=tmp_path))
    assert counts(Change.modified, str(tmp_path / "state_machine" / "rules.py"))
    assert not counts(Change.modified, str(tmp_path / "state" / "notes.toml"))


@pytest.mark.parametrize("layout", [".", "src"])
def test_code_that_the_application_does_not_import_is_not_watched(layout: str, tmp_path: Path) -> None:
    """Its own modules are, whichever way they are imported, also one that is from now on; tests and environments are not."""
    (tmp_path / "pyproject.toml").write_text('[tool.retold]\napp = "shop.app:made"\n')

    def written(name: str, text: str = "") -> str:
        file = tmp_path / layout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    own = [
        written("shop/__init__.py"), written("shop/app.py", "from . import item\nimport prices.table as t\n"),
        written("shop/item.py", "from .deep.rules import RULE\n"), written("shop/deep/rules.py", "RULE = 1"),
        written("prices/table.py", "def f():\n    from helper import x\n"), written("helper.py"),
    ]  # fmt: skip
    others = [
        written("shop/later.py"), written("shop/tests/test_item.py"), written("tests/test_app.py"), written("scripts/helper.py"),
        written("venv/lib/python3.11/site-packages/shop/item.py"),
    ]  # fmt: skip
    counts = _filter(load({}, start=tmp_path))
    assert [path for path in own if not counts(Change.modified, path)] == []
    assert [path for path in others if counts(Change.modified, path)] == []
    assert counts(Change.modified, str(tmp_path / "pyproject.toml"))
    written("shop/item.py", "from .deep.rules import RULE\nfrom . import later\n")
    until(lambda: counts(Change.modified, others[0]), "what is imported now is not watched")
    written("shop/app.py", "from . import (item")
    assert counts(Change.modified, own[-1])


def test_a_server_whose_settings_are_wrong_ends_everything(
    listening: socket.socket, shutdown: Shutdown, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """It has said what is wrong, and would say it again each second."""
    with server_beside(listening, shutdown, {**environ, "RETOLD_HTTP_PORT": "eighty"}):
        assert shutdown.stop.wait(120)
    assert shutdown.code == exit_codes.CONFIGURATION
    said = capfd.readouterr().err
    assert said == "RETOLD_HTTP_PORT is 'eighty'; a whole number from 0 to 65535 was expected.\n"


def test_a_server_that_never_becomes_ready_is_tried_less_often(
    listening: socket.socket,
    shutdown: Shutdown,
    environ: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own sentence and ours each time, and twice as long a pause: here there is no broker, which is no setting."""
    monkeypatch.setattr("streams.cli.process.supervised_process.LEAST_PAUSE", 0.01)
    said = ""

    def told(times: int) -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return said.count("restarting it") >= times

    with server_beside(listening, shutdown, environ) as server:
        until(lambda: told(2), "it is not tried again")
    assert not server.ready.is_set()
    assert said.count("no Kafka was found: ") >= 2
    assert "The server has ended with exit code 4; restarting it in" in said
