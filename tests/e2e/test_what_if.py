"""The past with a change, and a change of the code against the past, from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import PROJECT, Process, answer, retold
from tests.support.processes import environment as environment_of
from tests.support.workers import until

Env = Mapping[str, str]


@pytest.fixture(scope="module")
def env(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The variables that lead to a worker, which has handled two sign-ups and a renaming."""
    state = tmp_path_factory.mktemp("state")
    variables = environment_of(broker, f"whatif{state.name[-1]}.", state)
    log = state / "worker.log"
    with Process("worker", "--wait", "10", env=variables, log=log):
        until(lambda: "Ready: user, folder" in log.read_text(encoding="utf-8"), "it is not ready")
        for words in (
            ("user.signup", "user=u1", "email=u1@example.org", "--id", "signup-1"),
            ("user.signup", "user=u2", "email=u2@example.org", "--id", "signup-2"),
            ("user.rename", "user=u1", "name=Ada", "--id", "rename-1"),
        ):
            answer("publish", *words, "--wait", "60", env=variables)
        until(lambda: mails(variables) == 2, "the mails of the sign-ups are not sent", pause=0.5)
        yield variables


def mails(env: Env) -> int:
    lines = retold("tail", "email.sent", "--last", "10", "--json", env=env).stdout.splitlines()
    return len(lines)


def asked(*words: str, env: Env) -> list[dict[str, Any]]:
    done = retold("what-if", *words, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_sign_up_that_had_never_been(env: Env) -> None:
    """All that it led to is missing, the mail would not have been sent, and the renaming would have been rejected."""
    before = retold("get", "user", "--json", env=env).stdout
    *found, summary = asked("--remove", "signup-1", env=env)
    missing = {it["type"] for it in found if it["difference"] == "missing"}
    assert missing == {"user.signup", "folder.create", "email.send", "email.sent"}
    [rename] = [it for it in found if it["difference"] == "changed"]
    assert (rename["type"], rename["now"]["outcome"], rename["now"]["reason"]) == (
        "user.rename", "rejected", "there is no such user",
    )  # fmt: skip
    assert [it["call"] for it in found if it["difference"] == "call"] == ["would not call"]
    assert not summary["equal"]
    assert retold("get", "user", "--json", env=env).stdout == before
    told = retold("what-if", "--remove", "signup-1", env=env).stdout
    assert "taken out   user.signup u1" in told
    assert "accepted → rejected: there is no such user" in told


def test_other_data_and_one_event_more(env: Env, tmp_path: Path) -> None:
    """Given on the command line or in a file."""
    *found, _ = asked("--replace", 'rename-1={"user": "u1", "name": "Bea"}', env=env)
    [row] = [it for it in found if it["difference"] == "row"]
    assert row["changes"] == [{"field": "name", "before": "Ada", "after": "Bea"}]
    file = tmp_path / "new.json"
    file.write_text(json.dumps({"type": "user.close", "after": "rename-1", "data": {"user": "u1"}}))
    *found, _ = asked("--insert", str(file), env=env)
    assert {(it["namespace"], it["after"]) for it in found if it["difference"] == "row"} == {
        ("user", None),
        ("folder", None),
    }


def test_a_row_as_it_was(env: Env) -> None:
    """As it was known before it was renamed, as it had happened by then, and not before that can change no more."""
    renamed = json.loads(retold("story", "rename-1", "--json", env=env).stdout)["event"]
    before = (datetime.fromisoformat(renamed["recorded"]) - timedelta(milliseconds=1)).isoformat()
    happened = renamed["time"]

    def row(*words: str) -> dict[str, Any]:
        done = retold("get", "user", "u1", *words, "--json", env=env)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    known = ("get", "user", "u1", "--known", before, "--json")
    until(lambda: retold(*known, env=env).returncode == 0, "the frontier does not pass what was before it", pause=1.0)
    assert row("--known", before)["row"]["name"] == "u1"
    until(lambda: row("--as-of", happened)["row"]["name"] == "Ada", "the frontier does not pass it", pause=1.0)
    assert row("--as-of", happened, "--known", before)["row"]["name"] == "u1"
    assert row("--as-of", happened)["version"] > row("--known", before)["version"]
    done = retold("get", "user", "--as-of", "2001-01-01T00:00:00Z", env=env)
    assert "0 rows" in done.stderr
    done = retold("get", "user", "u1", "--known", "2101-01-01T00:00:00Z", env=env)
    assert (done.returncode, "is not known yet" in done.stderr) == (3, True)


def test_what_makes_no_sense_is_a_sentence(env: Env) -> None:
    """On stderr, with exit code 1."""
    done = retold("what-if", "--remove", "nobody", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no event 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr


class Copy:
    """The demo application in a repository of its own, with one commit."""

    def __init__(self, folder: Path, env: Env) -> None:
        self.folder, self.env = folder, {**env, "RETOLD_APP": "processors:app"}
        for name in ("processors", "schemas"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
        (folder / "pyproject.toml").write_text('[tool.retold]\napp = "processors:app"\n', encoding="utf-8")
        for words in (
            ["init", "--quiet"],
            ["add", "."],
            ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"],
        ):
            subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)

    def edit(self, old: str, new: str) -> None:
        file = self.folder / "processors/user.py"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def replay(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "streams.cli", "replay", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=240, check=False
        )


@pytest.fixture
def copy(tmp_path: Path, env: Env) -> Copy:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "copy"
    folder.mkdir()
    clean = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    return Copy(folder, {**clean, "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"})


def test_a_change_that_changes_nothing(copy: Copy) -> None:
    """Exit code 0."""
    copy.edit(
        'raise Rejected("this user has already signed up")', 'raise Rejected("this user has " + "already signed up")'
    )
    done = copy.replay()
    assert (done.returncode, "nothing would be otherwise" in done.stdout) == (0, True), done.stderr
    assert "compared with the last commit" in done.stdout


def test_a_fault_is_shown_where_it_is(copy: Copy) -> None:
    """Exit code 1; the origins are that handler's; what was looked at and accepted is exit code 0 again."""
    copy.edit(
        "replace(row, name=event.data.name, heard=event.time)",
        "replace(row, name=event.data.name.upper(), heard=event.time)",
    )
    done = copy.replay("--base", "HEAD", "--format", "json")
    assert done.returncode == 1, done.stderr
    *found, summary = [json.loads(line) for line in done.stdout.splitlines()]
    [origin] = [it for it in found if it["difference"] == "origin"]
    assert (origin["type"], origin["what"], origin["row_then"]["name"], origin["row_now"]["name"]) == (
        "user.rename",
        "row",
        "Ada",
        "ADA",
    )
    assert summary["origins_by_handler"] == {"user.rename": 1}
    done = copy.replay("--format", "markdown", "--save", "accepted.json")
    assert done.returncode == 0, "it did what was asked: all that is otherwise is accepted by the file"
    assert "| user.rename | leaves another row | 1 | u1 user-" in done.stdout
    assert "The differences were written to accepted.json" in done.stderr
    assert copy.replay("--accept", "accepted.json").returncode == 0
    copy.edit("if row is not None:", "if row is None:")
    done = copy.replay("--accept", "accepted.json")
    assert (done.returncode, "which is not accepted" in done.stderr) == (1, True)


def test_a_past_that_was_exported_needs_no_broker(copy: Copy, tmp_path: Path) -> None:
    """In a file that nobody else can read: as for a continuous integration. Another application's is refused."""
    file = tmp_path / "past.retold"

    def exported() -> bool:
        done = retold("history", "--export", str(file), env=copy.env)
        assert done.returncode == 0, done.stderr
        return "rename-1" in retold("story", "rename-1", "--history", str(file), "--json", env=copy.env).stdout

    until(exported, "the frontier does not pass the renaming", pause=1.0)
    assert file.stat().st_mode & 0o077 == 0
    copy.env = {**copy.env, "RETOLD_BROKER": "127.0.0.1:1"}
    assert copy.replay("--history", str(file)).returncode == 0
    copy.edit("replace(row, name=event.data.name, heard=event.time)", "replace(row, name='X', heard=event.time)")
    assert copy.replay("--history", str(file)).returncode == 1
    shop = {"RETOLD_APP": "tests.applications.shop:app", "RETOLD_SCHEMAS": "tests/applications/shop/schemas"}
    done = retold("story", "rename-1", "--history", str(file), env={**copy.env, **shop})
    assert (done.returncode, "is the past of the application 'retold-demo'" in done.stderr) == (3, True), done.stderr
    done = retold("story", "rename-1", "--history", str(tmp_path / "none"), env=copy.env)
    assert (done.returncode, "`retold history --export" in done.stderr) == (3, True)


def test_what_cannot_be_compared_is_another_exit_code(copy: Copy) -> None:
    """With a sentence."""
    done = copy.replay("--base", "nowhere")
    assert (done.returncode, "nowhere is neither a folder nor a revision of git" in done.stderr) == (3, True), (
        done.stderr
    )


def test_other_code_that_cannot_be_loaded(copy: Copy, tmp_path: Path) -> None:
    """Its own words are shown, and then what that means."""
    broken = tmp_path / "broken"
    shutil.copytree(copy.folder, broken)
    (broken / "processors/user.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    done = copy.replay("--base", str(broken))
    assert done.returncode not in (0, 1)
    assert "the other code cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
