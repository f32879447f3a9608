"""`retold parked`, as the operator on call uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streams.codec import prefix_of
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.support.inbox import Foreign
from tests.support.processes import Process, environment, retold
from tests.support.workers import settings, until


@pytest.fixture
def foreign(broker: str, prefix: str, tmp_path: Path) -> Foreign:
    return Foreign(probe.app(), settings(tmp_path, prefix, partitions="1"), broker)


@pytest.fixture
def env(broker: str, prefix: str, tmp_path: Path, foreign: Foreign) -> Iterator[dict[str, str]]:
    """A worker of the probe runs; three events of one key are parked, and one is quarantined."""
    names = {"app": "tests.applications.probe:app", "schemas": "tests/applications/probe/schemas", "partitions": "1"}
    made = environment(broker, prefix, tmp_path, **names)
    with Process("worker", "probe", env=made, log=tmp_path / "worker.log"):
        admin = foreign.clients.admin()
        until(lambda: f"{prefix}probe" in admin.client.list_topics(timeout=10).topics, "no topics")
        foreign.publish(ProbeDo(name="k", how="raise"), ProbeDo(name="k", text="1"), ProbeDo(name="k", text="2"))
        foreign.write("probe", b"no Avro", b"k")
        until(lambda: len(foreign.read("probe-parked")) == 4, "not set aside")
        yield made


def test_what_is_set_aside_is_listed_shown_tried_and_rejected(env: dict[str, str], foreign: Foreign) -> None:
    """The list names places and reasons, one is shown with its traceback, a retry that fails says so, a rejection frees.

    What the partition waits at is told with the command that quarantines it, and then the partition goes on.
    """
    listed = retold("parked", "list", "--json", env=env)
    found = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(it["inbox_offset"], it["status"]) for it in found] == [
        ("probe-0@0", "parked"),
        ("probe-0@1", "parked"),
        ("probe-0@2", "parked"),
        ("probe-0@3", "quarantined"),
    ]
    reported = "3 events of probe are parked, and 1 is quarantined: see `retold parked list probe`."
    assert reported in retold("status", env=env).stdout.splitlines()
    shown = retold("parked", "show", "probe-0@0", env=env)
    assert '"how": "raise"' in shown.stdout
    assert "told to raise for k" in shown.stdout
    assert "Traceback" in shown.stdout
    assert re.search(r"^time +20..-..-..T", shown.stdout, re.MULTILINE)
    rehearsed = retold("parked", "retry", "probe-0@0", "--rehearse", env=env)
    assert (rehearsed.returncode, "Nothing was written." in rehearsed.stderr) == (1, True), rehearsed.stderr
    assert "parked      probe-0@0: RuntimeError: told to raise for k" in rehearsed.stdout
    tried = retold("parked", "retry", "probe-0@0", env=env)
    assert tried.returncode == 1
    assert "set aside again: RuntimeError: told to raise for k. `retold parked show probe-0@0` has its data" in tried.stderr
    tried = retold("parked", "retry", "--all", "probe", env=env)
    assert (tried.returncode, tried.stderr.splitlines()[0]) == (1, "1 key of probe retried: 1 still parked.")
    assert "probe-0@0 was set aside again: RuntimeError: told to raise for k" in tried.stderr
    assert "if the event is, `retold parked reject probe-0@0 --why …` frees its key" in tried.stderr
    freed = retold("parked", "reject", "probe-0@0", "--why", "a typo", "--who", "ada", env=env)
    assert freed.returncode == 0
    assert freed.stderr.startswith("probe-0@0 was rejected: ")
    assert freed.stderr.endswith("; 2 events behind it were handled.\n")
    row = json.loads(retold("get", "probe", "k", "--json", env=env).stdout)
    assert "'count': 2" in str(row)
    left = retold("parked", "list", env=env)
    assert "quarantined" in left.stdout
    assert "probe-0@1" not in left.stdout
    quarantines_what_waits(env, foreign)


def quarantines_what_waits(env: dict[str, str], foreign: Foreign) -> None:
    """Behind four events and three commands."""
    foreign.write("probe", prefix_of(12345) + b"whatever", b"k")
    foreign.publish(ProbeDo(name="k", text="behind"))
    words = "`retold parked quarantine probe-0@7 --why …`"
    until(lambda: words in retold("status", env=env).stdout, "nothing waits")
    assert words in retold("parked", "list", env=env).stderr
    elsewhere = retold("parked", "quarantine", "probe-0@8", "--why", "x", env=env)
    assert elsewhere.returncode != 0
    assert "no partition is blocked at probe-0@8" in elsewhere.stderr
    assert "partitions are blocked at probe-0@7" in elsewhere.stderr
    done = retold("parked", "quarantine", "probe-0@7", "--why", "obsolete", "--who", "ada", env=env)
    assert (done.returncode, done.stderr) == (0, "probe-0@7 is quarantined; the partition goes on.\n")
    shown = json.loads(retold("parked", "show", "probe-0@7", "--json", env=env).stdout)
    assert (shown["status"], shown["why"]) == ("quarantined", "set aside by ada: obsolete")
    assert "schema id 12345" in shown["detail"]
    until(lambda: "behind" in retold("get", "probe", "k", "--json", env=env).stdout, "it does not go on")


SENTENCES = {
    ("show", "probe-0@9"): "nothing is set aside at probe-0@9",
    ("retry", "here"): "expected one such as user-3@1042",
    ("retry",): "an inbox offset such as user-3@1042, or --all",
    ("retry", "--all", "nobody"): "nobody",
    ("retry", "--all", "probe", "--rehearse"): "--rehearse is for one key",
    ("reject", "probe-0@3", "--why", "x"): "it blocks no other event",
    ("retry", "probe-0@1"): "probe-0@1 is not the first parked event of the key 'k'",
    ("reject", "probe-0@2", "--why", "x"): "it is probe-0@0. Name that one",
    ("list", "prob"): "did you mean probe?",
    ("answer", "probe-0@0", "echo.hear"): "parked by its handler, not by its gateway",
    ("quarantine", "probe-0@0", "--why", "x"): "no partition is blocked now",
    ("quarantine", "probe-0@0"): "--why",
}


def test_a_command_that_makes_no_sense_is_a_sentence(env: dict[str, str]) -> None:
    """What, which value, what was expected; nothing is sent."""
    for words, sentence in SENTENCES.items():
        said = retold("parked", *words, env=env)
        assert said.returncode != 0
        assert sentence in said.stderr
        assert "Traceback" not in said.stderr


def test_a_browser_decides_what_the_command_decides(env: dict[str, str], foreign: Foreign, tmp_path: Path) -> None:
    """Through a real server: what is set aside is seen, a retry that fails says so, and a rejection frees the key.

    The log names who decided, and what is parked is gone from the server's file.
    """
    log = tmp_path / "server.log"
    with Process("server", env=env | {"RETOLD_HTTP_PORT": "0"}, log=log):
        until(lambda: "Listening at " in log.read_text(), "the server does not listen")
        url = log.read_text().split("Listening at ")[1].split(";")[0]
        with httpx.Client(base_url=url, timeout=60.0) as http:
            until(lambda: http.get("/-/ready").status_code == 200, "not ready")
            assert http.get("/parked").json()["counts"] == {"parked": 3, "unanswered": 0, "quarantined": 1}
            one = http.get("/parked/probe/0/0").json()
            assert ("Traceback" in one["detail"], one["behind"]) == (True, ["probe-0@1", "probe-0@2"])
            tried = http.post("/parked/probe/0/0/retry", json={})
            assert (tried.status_code, "set aside again" in tried.json()["detail"]) == (409, True), tried.text
            freed = http.post("/parked/probe/0/0/reject", json={"why": "a typo"})
            assert (freed.status_code, freed.json()["outcome"], freed.json()["still_parked"]) == (200, "rejected", 0), freed.text
            assert http.get("/parked").json()["counts"]["parked"] == 0
            assert "a typo" in http.get("/events?outcome=rejected").json()["events"][0]["reason"]
            page = http.get("/rows/probe/k", headers={"Accept": "text/html"})
            assert (page.status_code, "a typo" in page.text) == (200, True)
            spaces = http.get("/").json()["namespaces"]
            assert [it["quarantined"] for it in spaces if it["name"] == "probe"] == [1]
