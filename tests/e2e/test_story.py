"""The recorded past from the command line: stories, since when something holds, and how far it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process, answer, retold
from tests.support.processes import environment as environment_of
from tests.support.workers import until

Env = Mapping[str, str]
CLEAR = "\x1b[2J"


@pytest.fixture(scope="module")
def env(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The variables that lead to a worker, which has handled a sign-up with all that follows, and a renaming."""
    state = tmp_path_factory.mktemp("state")
    variables = environment_of(broker, f"story{state.name[-1]}.", state)
    log = state / "worker.log"
    with Process("worker", "--wait", "10", env=variables, log=log):
        until(lambda: "Ready: user, folder" in log.read_text(encoding="utf-8"), "it is not ready")
        for words in (
            ("user.signup", "user=u1", "email=u1@example.org", "--id", "signup-1"),
            ("user.rename", "user=u1", f"name=Ada{CLEAR}"),
            ("user.rename", "user=u1", "name=Bea"),
        ):
            answer("publish", *words, "--wait", "60", env=variables)
        until(lambda: len(told(variables)) > 4, "the mail of the sign-up is not sent", pause=0.5)
        yield variables


def story(*words: str, env: Env) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(retold("story", *words, "--json", env=env).stdout)
    return found


def types(step: Mapping[str, Any]) -> list[str]:
    return [step["type"], *(of for effect in step["effects"] for of in types(effect))]


def told(env: Env) -> list[str]:
    return types(story("signup-1", env=env)["event"]) + [it["kind"] for it in story("signup-1", env=env)["event"]["waits"]]


def test_an_event_has_a_story(env: Env) -> None:
    """Down to the mail that was sent, and the reminder that waits; a step in the midst goes up to the root."""
    assert sorted(told(env)) == ["email.send", "email.sent", "folder.create", "timer", "user.signup"]
    sent = story("email/u1/welcome", env=env)["events"][-1]
    up = story(sent["position"], env=env)
    assert [it["type"] for it in up["causes"]] == ["user.signup", "email.send"]
    done = retold("story", sent["position"], env=env)
    assert "▶ email.sent u1/welcome (answer)" in done.stdout
    assert done.stdout.startswith("user.signup u1")


def test_a_row_has_a_story_that_drives_no_terminal(env: Env) -> None:
    """Its changes by field; a name with control characters is spelt out."""
    done = retold("story", "user/u1", env=env)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert r"name Ada\x1b[2J → Bea" in done.stdout
    assert "now, at version" in done.stdout


def test_when_something_began_to_hold(env: Env) -> None:
    """Each turn; of a row and of a table. What never held is exit code 1, a wrong condition a sentence."""
    done = retold("when", "user", "u1", "name == 'Bea'", env=env)
    assert (done.returncode, "since  user.rename" in done.stdout) == (0, True), done.stderr
    assert "holds now; 3 events looked at" in done.stderr
    done = retold("when", "user", "name in ('Bea', 'Cid')", "--table", "--json", env=env)
    [turn] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (turn["key"], turn["holds"], turn["type"]) == ("u1", True, "user.rename")
    done = retold("when", "user", "u1", "name == 'Cid'", env=env)
    assert done.returncode == 1
    assert "never held" in done.stderr
    done = retold("when", "user", "u1", "nmae == 'Cid'", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean name?" in done.stderr


def test_the_past_says_how_far_it_goes(env: Env) -> None:
    """And is a file of this machine."""
    found = answer("history", env=env)
    assert [it["namespace"] for it in found["namespaces"]] == ["user", "folder", "email"]
    assert Path(found["file"]).stat().st_size <= found["bytes"]
    assert found["frontier"] > found["namespaces"][0]["first"]


@pytest.mark.parametrize("words", [("signup-2",), ("user-0:99",), ("user/nobody",)])
def test_what_has_no_story_is_a_sentence(env: Env, words: tuple[str, ...]) -> None:
    """With exit code 1."""
    done = retold("story", *words, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the recorded past" in done.stderr


def test_without_a_broker_there_is_a_sentence(tmp_path: Path) -> None:
    """With the exit code of a broker that does not answer."""
    done = retold("history", env=environment_of("127.0.0.1:1", "x.", tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert "Traceback" not in done.stderr
