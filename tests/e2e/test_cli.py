"""The command line against a broker and a worker: publishing, asking, watching, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.kafka.topics import TOPICS
from streams.server.readmodel.follower_process import MODULE
from tests.support.processes import PROJECT, Process, answer, descendants, retold
from tests.support.processes import environment as environment_of
from tests.support.workers import until

Env = Mapping[str, str]


@pytest.fixture(scope="module")
def env(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The variables that lead to a worker."""
    state = tmp_path_factory.mktemp("state")
    variables = environment_of(broker, f"cli{state.name[-1]}.", state)
    log = state / "worker.log"
    with Process("worker", "--wait", "10", env=variables, log=log):
        until(lambda: "Ready: user, folder" in log.read_text(encoding="utf-8"), "it is not ready")
        yield variables


@pytest.fixture(scope="module")
def signed_up(env: Env) -> dict[str, Any]:
    """What `publish --wait --json` says of u1's sign-up."""
    return dict(answer("publish", "user.signup", "user=u1", "email=u1@example.org", "--wait", "60", env=env))


def lines(*words: str, env: Env, code: int = 0) -> list[Any]:
    done = retold(*words, "--json", env=env)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_publishing_can_wait_for_the_outcome(signed_up: dict[str, Any], env: Env) -> None:
    """Accepted with its place in the log; a user reads a sentence; a second sign-up is rejected, with exit code 1."""
    assert (signed_up["type"], signed_up["key"], signed_up["outcome"]) == ("user.signup", "u1", "accepted")
    again = retold("publish", "user.signup", "user=u1", "email=x", "--wait", "60", env=env)
    assert (again.returncode, again.stdout) == (1, "")
    assert "was rejected: this user has already signed up" in again.stderr
    (as_json,) = lines("publish", "user.signup", "user=u1", "email=x", "--wait", "60", env=env, code=1)
    assert (as_json["outcome"], as_json["reason"]) == ("rejected", "this user has already signed up")


def test_an_id_is_handled_once_and_a_version_is_expected(signed_up: dict[str, Any], env: Env) -> None:
    """A repeated id changes nothing; a wrong version is refused."""
    rename = ("publish", "user.rename", "user=u1", "name=Ada", "--id", "rename-1", "--wait", "60")
    assert answer(*rename, env=env)["duplicate"] is False
    repeated = answer(*rename, env=env)
    assert (repeated["duplicate"], repeated["outcome"]) == (True, "accepted")
    late = retold(
        "publish", "user.rename", "user=u1", "name=Eve", "--expected-version", str(signed_up["sequence"]), "--wait", "60",
        env=env,
    )  # fmt: skip
    assert late.returncode == 1
    assert "wrong version" in late.stderr
    assert answer("get", "user", "u1", env=env)["row"]["name"] == "Ada"


def test_without_a_worker_waiting_ends_with_a_code_of_its_own(env: Env, tmp_path: Path) -> None:
    """What is known so far is reported, with exit code 5."""
    alone = {**env, "RETOLD_PREFIX": "nobody.", "RETOLD_STATE": str(tmp_path)}
    missing = retold("publish", "user.close", "user=u1", env=alone)
    assert missing.returncode == 4
    assert "the topic nobody.user is missing" in missing.stderr
    assert "`retold topics --create`" in missing.stderr
    assert retold("topics", "--create", env=alone).returncode == 0
    late = retold("publish", "user.close", "user=u1", "--wait", "1", env=alone)
    assert late.returncode == 5
    assert "is a worker running, or just restarting?" in late.stderr


def test_a_row_is_shown_with_its_version_and_how_far_it_is_true(signed_up: dict[str, Any], env: Env) -> None:
    """For a user and for a program; what is not there is a sentence and exit code 1."""
    shown = retold("get", "folder", "u1", env=env)
    assert shown.returncode == 0
    assert [line.split() for line in shown.stdout.splitlines() if "owner" in line] == [["owner", "u1"]]
    assert "As of folder-" in shown.stderr
    row = answer("get", "user", "u1", env=env)
    assert row["row"]["email"] == "u1@example.org"
    assert row["position"]["partition"] == signed_up["partition"]
    assert row["position"]["sequence"] >= signed_up["sequence"]
    missing = retold("get", "user", "nobody", env=env)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("The table user has no row 'nobody'")
    unknown = retold("get", "users", env=env)
    assert unknown.returncode == 2
    assert "has no namespace 'users'; it has: user, folder" in unknown.stderr


def test_timers_are_listed_by_when_they_are_due(signed_up: dict[str, Any], env: Env) -> None:
    """For a user and for a program: each event that is scheduled, and for which key."""
    of_user = [one for one in lines("timers", "user", env=env) if one["key"] == "u1"]
    assert [(one["event_type"], one["namespace"], one["owner"], one["overdue"]) for one in of_user] == [
        ("user.remind", "user", None, False)
    ]
    shown = retold("timers", "--limit", "1", env=env)
    assert len([line for line in shown.stdout.splitlines() if "user.remind" in line]) == 1
    assert " timer" in shown.stderr
    assert retold("timers", "folder", env=env).stderr == "No timer is pending.\n"


def test_a_table_fits_the_screen(signed_up: dict[str, Any], env: Env, tmp_path: Path) -> None:
    """Columns that do not fit are named; rows beyond the limit are counted; JSON has all of both."""
    file = tmp_path / "many.csv"
    rows = "".join(f"many{n},a-rather-long-address-{n}@example.org,{n}\n" for n in range(60))
    file.write_text(f"user,email,views\n{rows}", encoding="utf-8")
    published = answer("publish", "user.signup", "--from", str(file), env=env)
    assert (published["published"], published["skipped"]) == (60, 0)
    until(lambda: len(lines("get", "user", env=env)) >= 61, "the rows are not there")
    shown = retold("get", "user", env={**env, "COLUMNS": "80"})
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "50 of 6" in shown.stderr
    assert "Columns that do not fit: " in shown.stderr
    assert retold("get", "user", "--where", "views__gte=50", "--count", env=env).stdout == "10\n"
    assert [row["key"] for row in lines("get", "user", "--where", "_key__in=many9,many10", "--sort", "-views", env=env)] == [
        "many10", "many9"
    ]  # fmt: skip
    few = lines("get", "user", "--limit", "3", env=env)
    assert len(few) == 3
    assert few[0].keys() == {"key", "version", "row", "position"}


def test_a_broken_line_can_be_left_out(signed_up: dict[str, Any], env: Env, tmp_path: Path) -> None:
    """By choice the rest is published; what was left out is reported, and the exit code is 1."""
    file = tmp_path / "some.jsonl"
    file.write_text('{"user": "s1", "email": "e"}\n{"user": "s2"}\n{"user": "s3", "email": "e"}\n', encoding="utf-8")
    done = retold("publish", "user.signup", "--from", str(file), "--on-error", "skip", env=env)
    assert done.returncode == 1
    assert f"{file}:2: column 'email' is missing" in done.stderr
    assert done.stdout.splitlines()[1] == "1 broken line skipped"
    keys = ("s1", "s3", "s2")
    until(lambda: retold("get", "user", "s3", env=env).returncode == 0, "s3 is not there")
    until(lambda: retold("get", "user", "s1", env=env).returncode == 0, "s1 is not there")
    assert [retold("get", "user", key, env=env).returncode for key in keys] == [0, 0, 1]


def test_the_sample_producer_may_be_run_again(signed_up: dict[str, Any], env: Env, tmp_path: Path) -> None:
    """A script with the public client: its ids are the same each time, so the second run changes nothing."""
    file = tmp_path / "few.tsv"
    sample = (PROJECT / "ops/data/signups.tsv").read_text(encoding="utf-8")
    file.write_text("".join(sample.splitlines(keepends=True)[:4]), encoding="utf-8")
    command = [sys.executable, "-m", "processors.publish", str(file)]
    for _ in range(2):
        done = subprocess.run(command, env=dict(env), cwd=PROJECT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "3 sign-ups published\n"), done.stderr
    until(lambda: retold("get", "user", "2", env=env).returncode == 0, "user 2 is not there")
    handled = [one for one in lines("tail", "user.signup", "--last", "1000", env=env) if one["id"] == "signup-2"]
    assert [(one["outcome"], one["time"]) for one in handled] == [("accepted", "2011-01-11T19:50:40.620000Z")]


def test_the_log_can_be_read_from_its_end(signed_up: dict[str, Any], env: Env) -> None:
    """The last so many of what was asked for; each a line."""
    (signup,) = [one for one in lines("tail", "user.signup", "--last", "1000", env=env) if one["id"] == signed_up["id"]]
    assert (signup["type"], signup["outcome"], signup["sequence"]) == ("user.signup", "accepted", signed_up["sequence"])
    assert signup["data"]["email"] == "u1@example.org"
    (folder,) = [one for one in lines("tail", "folder", "--last", "1000", env=env) if one["cause"] == signed_up["id"]]
    assert (folder["type"], folder["correlation"]) == ("folder.create", signed_up["id"])
    both = lines("tail", "user.rename", "folder", "--last", "1000", env=env)
    assert {one["type"] for one in both} <= {"user.rename", "folder.create", "folder.rename", "folder.remove"}
    shown = retold("tail", "--last", "3", env=env).stdout.splitlines()
    assert len(shown) == 3
    assert [line for line in shown if line.endswith("…")] == []  # a pipe has whole lines


def test_the_log_can_be_followed(signed_up: dict[str, Any], env: Env) -> None:
    """What is handled comes as it is handled, until Ctrl-C, which gives 130 and no word."""
    with following(env, "tail", "user.close", "--json") as tail:
        assert tail.stderr is not None
        assert tail.stdout is not None
        assert "Press Ctrl-C to stop" in tail.stderr.readline()
        answer("publish", "user.signup", "user=gone", "email=e", "--wait", "60", env=env)
        answer("publish", "user.close", "user=gone", "--wait", "60", env=env)
        assert json.loads(tail.stdout.readline())["key"] == "gone"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(120) == 130
        assert (tail.stdout.read(), tail.stderr.read()) == ("", "")


def following(env: Env, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *words],
        env=dict(env),
        cwd=PROJECT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_has_seen_enough_is_no_error(signed_up: dict[str, Any], env: Env) -> None:
    """`retold tail | head -1` says nothing more."""
    with following(env, "tail", "--from-beginning") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.stdout.close()
        answer("publish", "user.rename", "user=u1", "name=Bea", "--wait", "60", env=env)
        answer("publish", "user.rename", "user=u1", "name=Ada", "--wait", "60", env=env)
        assert tail.wait(120) == 0
        assert tail.stderr.read() == ""


def test_status_says_how_things_are(signed_up: dict[str, Any], env: Env) -> None:
    """Every partition has an owner, nothing waits, and what was counted is there; the tables fit the screen."""

    def settled() -> bool:
        spaces = answer("status", env=env)["namespaces"]
        states = {part["state"] for space in spaces for part in space["partitions"]}
        return sum(space["lag"] for space in spaces) == 0 and states == {"running"}

    until(settled, "there is lag, or a partition does not run")
    user, folder, *_ = answer("status", env=env)["namespaces"]
    assert (user["name"], folder["name"]) == ("user", "folder")
    assert all(part["owner"] for part in user["partitions"])
    assert user["counters"]["accepted"] >= 1
    assert (user["parked"], user["quarantined"], user["waiting"]) == (0, 0, [])
    shown = retold("status", env=env).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "user-3" in shown


def test_topics_are_compared_with_what_they_should_be(env: Env) -> None:
    """What differs is reported with both values, and the exit code is 1."""
    found = lines("topics", env=env)
    assert {topic["kind"] for topic in found} == {kind.name for kind in TOPICS}
    other = retold("topics", env={**env, "RETOLD_PARTITIONS": "3"})
    assert other.returncode == 1
    assert "has 4 partitions; 3 were expected" in other.stderr
    assert "differs" in other.stdout


def test_a_worker_ends_cleanly(signed_up: dict[str, Any], env: Env, tmp_path: Path) -> None:
    """Ctrl-C gives one line and 130; the partitions go to the other worker."""
    log = tmp_path / "worker.log"
    variables = {**env, "RETOLD_STATE": str(tmp_path), "RETOLD_INSTANCE": "b"}
    with Process("worker", "user", env=variables, log=log) as second:
        until(lambda: "Ready: user." in log.read_text(encoding="utf-8"), "it is not ready")
        said = log.read_text(encoding="utf-8")
        assert second.stop(signal.SIGINT) == 130
    more = log.read_text(encoding="utf-8").removeprefix(said)
    assert more.count("\n") == 1, more
    assert answer("publish", "user.rename", "user=u1", "name=Ada", "--wait", "60", env=env)["outcome"] == "accepted"


def test_several_workers_end_together(signed_up: dict[str, Any], env: Env, tmp_path: Path) -> None:
    """One that is killed is started again, as the same worker; a supervisor's SIGTERM ends all with 0 and no word."""
    log = tmp_path / "worker.log"
    variables = {**env, "RETOLD_STATE": str(tmp_path), "RETOLD_INSTANCE": "several"}
    with Process("worker", "user", "--processes", "2", env=variables, log=log) as both:
        until(lambda: "Ready: 2 workers." in log.read_text(encoding="utf-8"), "they are not ready")
        first, second = began = descendants(both.process.pid)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(descendants(both.process.pid).keys() - began.keys()) == 1, "it is not started again")
        assert second in descendants(both.process.pid)
        began |= descendants(both.process.pid)
        assert both.stop(signal.SIGTERM) == 0
    assert re.fullmatch(
        r"Ready: 2 workers\. Press Ctrl-C to stop\.\n"
        r"Worker [12] of 2 was ended by SIGKILL; restarting it in 1 s\. Everything else keeps running\.\n",
        log.read_text(encoding="utf-8"),
    )
    assert running(began) == []
    assert len(list((tmp_path / "slots").iterdir())) == 2
    assert answer("publish", "user.rename", "user=u1", "name=Ada", "--wait", "60", env=env)["outcome"] == "accepted"


@pytest.mark.parametrize("stop", ["close", "kill"])
def test_a_worker_ends_with_the_program_that_began_it(stop: str, env: Env, tmp_path: Path) -> None:
    """Asked to, it stops when its stdin closes, which a killed program's does too; also before it found a broker."""
    nowhere = {name: value for name, value in env.items() if name != "RETOLD_BROKER"}
    child = [sys.executable, "-m", "streams.cli", "worker", "--ends-with-stdin", "--wait", "100"]
    program = (
        f"import subprocess, time; p = subprocess.Popen({child!r}, stdin=-1); print(p.pid, flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**nowhere, "RETOLD_STATE": str(tmp_path)},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        worker = Path(f"/proc/{parent.stdout.readline().strip()}")
        assert worker.exists()
        parent.kill() if stop == "kill" else parent.terminate()
        parent.wait()
        until(lambda: not worker.exists(), "the worker still runs")


def test_a_worker_that_cannot_start_says_why(env: Env) -> None:
    """One sentence and the code for it, also while it listens to the program that began it."""
    worker = following(env, "worker", "nobody", "--ends-with-stdin", stdin=subprocess.PIPE)
    with worker:
        assert worker.stderr is not None
        assert worker.wait(120) == 2
        said = worker.stderr.read()
    assert said.startswith("the application 'retold-demo' has no namespace 'nobody'; it has: user, folder")
    assert said.count("\n") == 1


def url_in(log: Path) -> str:
    """Of the last server that `retold run` reported."""
    return log.read_text(encoding="utf-8").split("The server listens at ")[-1].split(";")[0]


def messages(said: str) -> list[str]:
    """The lines, without those of a server that is not ready after 10 s: only a slow machine gives them."""
    return [line for line in said.splitlines() if not line.startswith("The server is not ready: ")]


def ready(log: Path, times: int = 1) -> None:
    until(lambda: log.read_text(encoding="utf-8").count("Ready: user, folder") == times, "it is not ready")


def test_run_is_a_broker_a_worker_and_a_server_with_one_ctrl_c(tmp_path: Path, env: Env) -> None:
    """Other commands find it by the project's state folder; a server that dies comes back; the end ends all of it."""
    own = {name: value for name, value in env.items() if name not in ("RETOLD_BROKER", "RETOLD_PREFIX")}
    own["RETOLD_STATE"] = str(tmp_path)
    log = tmp_path / "run.log"
    with Process("run", env=own, log=log) as run:
        ready(log)
        assert answer("publish", "user.signup", "user=u9", "email=e", "--wait", "60", env=own)["outcome"] == "accepted"
        began = descendants(run.process.pid)
        with httpx.Client(base_url=url_in(log), timeout=240) as http:
            assert http.get("/rows/user/u9").json()["row"]["email"] == "e"
            began |= the_server_dies_and_comes_back(run, log, http)
            until(lambda: log.read_text(encoding="utf-8").count("Ready: ") == 2, "it is not said that all are ready again")
            said = log.read_text(encoding="utf-8")
            assert len(messages(said)) == 8, said  # the server was started again, and so is ready twice
            assert "It has no password: every user of this machine can read and change its topics." in said
            assert run.stop(signal.SIGINT) == 130
            with pytest.raises(httpx.ConnectError):
                http.get("/rows/user")
    assert len(messages(log.read_text(encoding="utf-8").removeprefix(said))) == 1
    assert running(began) == []
    assert retold("get", "user", "u9", env=own).returncode == 4
    with Process("run", env=own, log=log) as again:
        ready(log, 3)
        assert httpx.get(f"{url_in(log)}/rows/user/u9", timeout=240).json()["row"]["email"] == "e"
        began = descendants(again.process.pid)
        assert len(began) == 6, began  # the worker, the server, its follower and forker, the keeper and the broker
        again.stop(signal.SIGKILL)
    until(lambda: running(began) == [], f"some of {began} still run")


def the_server_dies_and_comes_back(run: Process, log: Path, http: httpx.Client) -> dict[int, str]:
    """The processes as they are then."""
    server, _ = [pid for pid, command in descendants(run.process.pid).items() if " server " in command]  # its own is called so, too
    os.kill(server, signal.SIGKILL)
    until(lambda: "The server was ended by SIGKILL; " in log.read_text(encoding="utf-8"), "it is not told")
    body = {"user": "u10", "email": "e"}

    def handled() -> bool:
        return http.post("/events/user.signup", json=body, headers={"Prefer": "wait=10"}).status_code == 200

    until(handled, "the server is not back")
    return descendants(run.process.pid)


def running(began: Mapping[int, str]) -> list[str]:
    return [command for pid, command in began.items() if Path(f"/proc/{pid}").exists()]


def test_run_uses_the_broker_that_is_set_wherever_in_the_project_it_is_called(tmp_path: Path, env: Env) -> None:
    """It starts a server and nothing else, which has the same settings; SIGTERM ends both with 0 and no word."""
    log, variables = tmp_path / "run.log", {**env, "RETOLD_STATE": str(tmp_path), "RETOLD_INSTANCE": "run"}
    with Process("run", env=variables, log=log, folder=PROJECT / "docs") as run:
        ready(log)
        assert httpx.get(f"{url_in(log)}/rows/user", timeout=240).status_code == 200
        assert {" ".join(command.partition(" -m ")[2].split()[:2]) for command in descendants(run.process.pid).values()} == {
            "streams.cli worker", "streams.cli server", f"{MODULE} {variables['RETOLD_BROKER']}",
        }  # fmt: skip
        assert not (tmp_path / "broker.json").exists()
        assert run.stop(signal.SIGTERM) == 0
    assert len(messages(log.read_text(encoding="utf-8"))) == 4


def test_a_broker_that_is_not_there_is_a_sentence_within_ten_seconds(env: Env) -> None:
    """With the address, and exit code 4."""
    missing = {**env, "RETOLD_BROKER": "127.0.0.1:1"}
    done = retold("status", env=missing, timeout=25)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("no Kafka answers at 127.0.0.1:1 ")
    assert done.stderr.count("\n") == 1
