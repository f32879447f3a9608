"""Correcting the past from the command line, while two workers go on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from streams.cli.commands.correct_apply import apply_plan
from streams.cli.process.session import connect
from streams.engine.step import CorrectionStep
from streams.history.correction.correction_plan import decode_plan
from streams.kafka.correction_lock import the_only_one
from streams.kafka.corrections_topic import read_corrections, write_correction
from streams.kafka.step_writer import StepWriter
from tests.support.processes import PROJECT, Process, answer, retold
from tests.support.processes import environment as environment_of
from tests.support.workers import until

Env = Mapping[str, str]
SIGN_UPS = 6


@pytest.fixture(scope="module")
def env(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The variables that lead to two workers, which have handled some sign-ups and a renaming."""
    state = tmp_path_factory.mktemp("state")
    variables = environment_of(broker, f"correct{state.name[-1]}.", state)
    logs = [state / f"worker-{number}.log" for number in (1, 2)]
    with Process("worker", "--wait", "10", env=variables, log=logs[0]):
        until(lambda: "Ready: user, folder" in logs[0].read_text(encoding="utf-8"), "it is not ready")
        with Process("worker", "--wait", "10", env=variables, log=logs[1]):
            until(lambda: "Ready" in logs[1].read_text(encoding="utf-8"), "the second one is not ready")
            for number in range(1, SIGN_UPS + 1):
                signed_up(variables, f"u{number}", f"signup-{number}")
            answer("publish", "user.rename", "user=u2", "name=Ada", "--id", "rename-2", "--wait", "60", env=variables)
            until(lambda: mails(variables) == SIGN_UPS, "the mails of the sign-ups are not sent", pause=0.5)
            yield variables


def signed_up(env: Env, user: str, name: str) -> None:
    words = (f"user={user}", f"email={user}@example.org", "--id", name)
    answer("publish", "user.signup", *words, "--wait", "60", env=env)


def mails(env: Env) -> int:
    return len(retold("tail", "email.sent", "--last", "50", "--json", env=env).stdout.splitlines())


def planned(env: Env, file: Path, *change: str) -> dict[str, Any]:
    done = retold("correct", "plan", *change, "--by", "ann", "--why", "a test", "-o", str(file), env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def row(env: Env, namespace: str, key: str) -> dict[str, Any] | None:
    done = retold("get", namespace, key, "--json", env=env)
    found: dict[str, Any] | None = json.loads(done.stdout)["row"] if done.returncode == 0 else None
    return found


def test_a_sign_up_that_should_not_have_been(env: Env, tmp_path: Path) -> None:
    """It is shown before anything happens; then its rows are gone, the log says who and why, and all is whole."""
    file = tmp_path / "plan.json"
    plan = planned(env, file, "--remove", "signup-1")
    assert {(it["namespace"], it["key"], it["after"]) for it in plan["rows"]} >= {("user", "u1", None), ("folder", "u1", None)}
    assert row(env, "user", "u1") is not None
    done = retold("correct", "apply", str(file), env=env)
    assert (done.returncode, "is applied" in done.stderr) == (0, True), done.stderr
    assert row(env, "user", "u1") is None
    assert row(env, "folder", "u1") is None
    assert row(env, "user", "u2") is not None
    told = retold("tail", "user", "--last", "1", env=env).stdout
    assert "CORRECTED: a test (ann)" in told
    done = retold("correct", "apply", str(file), env=env)
    assert (done.returncode, "nothing was written" in done.stderr) == (0, True), done.stderr
    [listed] = [json.loads(line) for line in retold("correct", "list", "--json", env=env).stdout.splitlines()]
    assert (listed["by"], listed["why"], listed["state"], listed["rows"]) == ("ann", "a test", "applied", len(plan["rows"]))
    [call] = [json.loads(line) for line in retold("correct", "open", "--json", env=env).stdout.splitlines()]
    assert (call["kind"], call["type"]) == ("would not call", "email.send")
    whole = retold("verify", env=env)
    assert whole.returncode == 0, whole.stdout + whole.stderr


def test_a_coordinator_that_is_killed_goes_on_where_it_stood(env: Env, tmp_path: Path) -> None:
    """Wherever that was; a later event is handled on the corrected rows."""
    file = tmp_path / "plan.json"
    planned(env, file, *(word for number in (3, 4, 5) for word in ("--remove", f"signup-{number}")))
    command = [sys.executable, "-m", "streams.cli", "correct", "apply", str(file)]
    killed = subprocess.Popen(command, env=dict(env), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: killed.poll() is not None or "applying" in states(env), "it does not begin", pause=0.1)
    with suppress(ProcessLookupError):
        killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    done = retold("correct", "apply", str(file), env=env)
    assert done.returncode == 0, done.stderr
    assert "applying" not in states(env)
    assert [row(env, "user", f"u{number}") for number in (3, 4, 5)] == [None] * 3
    signed_up(env, "u3", "signup-3-again")
    assert row(env, "user", "u3") is not None
    assert retold("verify", env=env).returncode == 0


class StoppedError(Exception):
    """The coordinator ends here."""


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_one_that_is_stopped_between_two_steps_leaves_whole_rows(
    sent: int, env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the past is being corrected is said then, and no other correction is taken on until this one is applied."""
    user, file, other = f"s{sent}", tmp_path / "plan.json", tmp_path / "other.json"
    signed_up(env, user, f"signup-{user}")
    until(lambda: row(env, "folder", user) is not None, "it gets no folder")
    planned(env, other, "--remove", "rename-2")
    planned(env, file, "--remove", f"signup-{user}")
    send = StepWriter.send

    def some(writer: StepWriter, steps: Sequence[CorrectionStep], waiting: Callable[[], None]) -> None:
        send(writer, steps[:sent], waiting)
        raise StoppedError

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(StepWriter, "send", some)
    session, plan = connect(), decode_plan(file.read_bytes())
    with pytest.raises(StoppedError):
        apply_plan(session, plan)
    assert (row(env, "user", user) is None) == (sent > 0)
    for words in (("get", "user"), ("status",)):
        done = retold(*words, env=env)
        assert "The past is being corrected by ann (a test)" in done.stdout + done.stderr
    done = retold("correct", "apply", str(other), env=env)
    assert (done.returncode, "is not applied to its end" in done.stderr) == (3, True), done.stderr
    if sent == 1:  # as if it were still at work
        known = read_corrections(session.clients, session.config.prefix, plan.application)
        [state] = [it for it in known if it.correction == plan.correction]
        alive = replace(state, coordinator=f"{socket.gethostname()}-{os.getpid()}", seen=session.clients.clock.now())
        write_correction(session.clients, session.config.prefix, alive)
        done = retold("correct", "apply", str(file), env=env)
        assert (done.returncode, "is being applied by" in done.stderr) == (3, True), done.stderr
        write_correction(session.clients, session.config.prefix, state)
    assert retold("correct", "apply", str(file), env=env).returncode == 0
    assert [row(env, name, user) for name in ("user", "folder")] == [None, None]
    assert "The past is being corrected" not in retold("status", env=env).stdout


def states(env: Env) -> list[str]:
    return [json.loads(line)["state"] for line in retold("correct", "list", "--json", env=env).stdout.splitlines()]


def test_a_correction_is_corrected(env: Env, tmp_path: Path) -> None:
    """What was put in is taken out again; the rows are as they were."""
    file, before = tmp_path / "plan.json", row(env, "user", "u2")
    rename = {"type": "user.rename", "time": "2100-01-01T00:00:00Z", "id": "fix", "data": {"user": "u2", "name": "Bea"}}
    planned(env, file, "--insert", json.dumps(rename))
    assert retold("correct", "apply", str(file), env=env).returncode == 0
    assert (row(env, "user", "u2") or {})["name"] == "Bea"
    planned(env, file, "--remove", "fix")
    assert retold("correct", "apply", str(file), env=env).returncode == 0
    assert row(env, "user", "u2") == before


def test_what_cannot_be_applied_is_a_sentence(env: Env, tmp_path: Path) -> None:
    """Nothing happens then: a plan that was edited, no plan, nobody's event, and two coordinators at once."""
    file = tmp_path / "plan.json"
    plan = planned(env, file, "--remove", "signup-6")
    (tmp_path / "edited.json").write_text(json.dumps({**plan, "by": "eve"}), encoding="utf-8")
    done = retold("correct", "apply", str(tmp_path / "edited.json"), env=env)
    assert (done.returncode, "is not as it was written" in done.stderr) == (3, True), done.stderr
    done = retold("correct", "plan", "--remove", "nobody", "--why", "x", env=env)
    assert (done.returncode, "nobody" in done.stderr) == (1, True), done.stderr
    done = retold("correct", "plan", "--remove", "signup-6", env=env)
    assert (done.returncode, "--why is missing" in done.stderr) == (2, True), done.stderr
    with the_only_one(Path(env["RETOLD_STATE"])):
        done = retold("correct", "apply", str(file), env=env)
    assert (done.returncode, "let it end" in done.stderr) == (3, True), done.stderr
    assert row(env, "user", "u6") is not None


def test_that_corrections_are_lost_is_said(env: Env) -> None:
    """Their topic was deleted: "Nothing was corrected" was the answer, with exit code 0. It is the last test of these workers."""
    assert "retold-corrections has no correction" not in retold("status", env=env).stdout
    admin, topic = AdminClient({"bootstrap.servers": env["RETOLD_BROKER"]}), f"{env['RETOLD_PREFIX']}retold-corrections"
    admin.delete_topics([topic])[topic].result(20)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, "it is not deleted")
    for words, code in ((("correct", "list"), 3), (("status", "--check"), 1), (("status",), 0)):
        done = retold(*words, env=env)
        assert (done.returncode, "retold-corrections has no correction that was begun" in done.stdout + done.stderr) == (code, True)
    done = retold("topics", env=env)
    assert "retold-corrections is missing: bring it back from a backup if there were corrections" in done.stderr
