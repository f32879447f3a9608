"""`retold kafka`: the broker of a project, beside which workers come and go."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tests.support.processes import Process, broker_began, descendants, environment, retold
from tests.support.workers import until

READY, WORKS = "Ready. Press Ctrl-C to stop.", "Ready: user, folder"


def says(log: Path, text: str) -> None:
    until(lambda: text in log.read_text(encoding="utf-8"), f"it does not say {text!r}")


def environment_of(state: Path) -> dict[str, str]:
    """Of a project that has no broker yet."""
    return {name: value for name, value in environment("", "", state).items() if name not in ("RETOLD_BROKER", "RETOLD_PREFIX")}


def test_workers_come_and_go_beside_a_broker_that_stays(tmp_path: Path) -> None:
    """A second one is refused with the address of the first; Ctrl-C ends it with all that it began. Its data are a backup."""
    env = environment_of(tmp_path / "state")
    with Process("kafka", env=env, log=tmp_path / "kafka.log") as kafka:
        says(tmp_path / "kafka.log", READY)
        second = retold("kafka", env=env)
        assert (second.returncode, second.stdout) == (3, "")
        assert second.stderr.startswith("this project's broker runs already at 127.0.0.1:")
        for number in (1, 2):
            log = tmp_path / f"worker{number}.log"
            with Process("worker", env=env, log=log):
                says(log, WORKS)
                done = retold("publish", "user.signup", f"user=u{number}", "email=e", "--wait", "60", env=env)
                assert done.returncode == 0, done.stderr
        assert retold("get", "user", "u1", env=env).returncode == 0
        began = descendants(kafka.process.pid)
        assert kafka.stop(signal.SIGINT) == 130
    assert not [pid for pid in began if Path(f"/proc/{pid}").exists()]
    assert retold("get", "user", "u1", env=env).returncode == 4
    shutil.copytree(tmp_path / "state" / "kafka", tmp_path / "other" / "kafka")
    copy = environment_of(tmp_path / "other")
    with Process("kafka", env=copy, log=tmp_path / "copy.log"):
        says(tmp_path / "copy.log", READY)
        assert [retold("get", "user", name, env=copy).returncode for name in ("u1", "u2")] == [0, 0]
        assert retold("verify", env=copy).returncode == 0


def test_it_ends_with_its_kafka(tmp_path: Path) -> None:
    """Somebody who supervises it starts it again by its exit code."""
    before = descendants(os.getpid())
    with Process("kafka", env=environment_of(tmp_path / "state"), log=tmp_path / "kafka.log") as kafka:
        says(tmp_path / "kafka.log", READY)
        os.kill(broker_began(before), signal.SIGKILL)
        assert kafka.ended(60) == 4
    says(tmp_path / "kafka.log", "Kafka has ended, and so does this command.")
