"""Handlers that do not return, in worker processes on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.applications import stuck
from tests.applications.probe.events import ProbeDo
from tests.support.inbox import Foreign
from tests.support.processes import PROJECT, Process, answer, environment, retold
from tests.support.workers import settings, until

WORDS = ("worker", "--wait", "10")


@pytest.mark.parametrize(
    ("how", "codes"), [("sleep", [75, 75]), ("regex", [1, 1]), ("crash", [-11, -11])], ids=["sleeps", "holds", "crashes"]
)
def test_a_handler_that_does_not_return_is_called_twice_and_its_event_parked(
    how: str, codes: list[int], prefix: str, broker: str, tmp_path: Path
) -> None:
    """Each call ends its process, which a supervisor starts again; then the event is parked, and what is behind it handled."""
    config = settings(tmp_path, prefix)
    env = environment(broker, prefix, tmp_path, app="tests.applications.stuck:app", partitions="2", instance="test")
    env["PYTHONPATH"] = str(PROJECT)
    log = tmp_path / "worker.log"
    foreign = Foreign(stuck.app(), config, broker)
    assert retold("topics", "--create", env=env).returncode == 0
    foreign.publish(ProbeDo(name="k", how="count"), ProbeDo(name="k", how=how), ProbeDo(name="x", how="count"))
    ended = []
    for _ in codes:
        with Process(*WORDS, env=env, log=log, folder=tmp_path) as worker:
            if how == "sleep":
                until(lambda: "has not returned" in retold("status", env=env).stdout, "the status does not name it")
            ended.append(worker.ended(60))
    assert ended == codes, log.read_text(errors="replace")
    with Process(*WORDS, env=env, log=log, folder=tmp_path):
        until(lambda: foreign.rows("probe").keys() == {"k", "x"}, "what is behind it is not handled")
        until(lambda: len(foreign.read("probe-parked")) == 1, "it is not parked")
    assert answer("get", "probe", "k", env=env)["row"]["count"] == 1
    aside = answer("parked", "list", "probe", env=env)
    assert "its handler never returned, so it is not called again: each of 2 calls" in str(aside)
    text = log.read_text(errors="replace")
    assert text.count("event parked") + text.count("was parked") >= 1
    assert "stuck.py" in text
    if how == "sleep":
        assert text.count("after 7.5 s its process ends, and after 2 such calls") == 2
        assert text.count("/stuck.py:22: the handler of probe.do at ") == 4  # named and ended, twice
        assert text.count("WAYS[how](3600)") == 2
        assert "engine/execution.py" not in text
        assert text.count("retold parked show") == 1
