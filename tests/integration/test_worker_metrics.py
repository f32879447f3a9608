"""A worker on a real broker shows what it does, at a port of its own."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from streams.config import Config
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.support.figures_of import figures_of
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, worker_metrics_port="0")


def scrape(worker: Running) -> str:
    assert worker.metrics_url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(worker.metrics_url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_a_scrape_shows_what_was_handled_parked_and_is_left(config: Config, broker: str, foreign: Foreign) -> None:
    """By namespace and partition, with the times of batches, transactions and restores; no lag is left in the end."""
    with Running(probe.app(), config, broker) as worker:
        foreign.publish(ProbeDo(name="k", how="echo"))
        foreign.publish(ProbeDo(name="bad", how="raise"))
        foreign.publish(ProbeDo(name="bad"))
        until(lambda: worker.counted("probe", "parked") == 2 and worker.counted("echo", "accepted") == 1, "not handled")

        def lags() -> set[float]:
            return set(figures_of(scrape(worker), "retold_worker_inbox_lag").values())

        until(lambda: lags() == {0.0}, "the ends of the inboxes were not looked at again", pause=0.5)
        text = scrape(worker)
        worked = figures_of(text, "retold_worker_events_total")
        assert sum(value for (space, _, what), value in worked.items() if (space, what) == ("probe", "accepted")) == 1
        assert sum(value for (space, _, what), value in worked.items() if (space, what) == ("echo", "accepted")) == 1
        assert sum(figures_of(text, "retold_worker_parked_events").values()) == 2
        assert sum(figures_of(text, "retold_worker_parked_keys").values()) == 1
        assert figures_of(text, "retold_worker_running") == {("probe",): 1.0, ("echo",): 1.0}
        states = figures_of(text, "retold_worker_partitions")
        assert (states["probe", "running"], states["probe", "restoring"]) == (2.0, 0.0)
        assert figures_of(text, "retold_worker_restore_seconds_count") == {("probe",): 2.0, ("echo",): 2.0}
        assert figures_of(text, "retold_worker_batch_seconds_count")["probe",] >= 1
