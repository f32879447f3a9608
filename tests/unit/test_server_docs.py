"""The page about HTTP names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import processors
from processors.events import FolderCreate
from streams.codec import codec_of
from streams.kafka.status import Status
from streams.server.http.metrics import Metrics
from streams.server.http.openapi import plain_path
from streams.server.http.route_table import NOT_TOLD, PUBLISHING, ROUTES
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.observed_status import ObservedStatus
from streams.server.readmodel.state_counts import StateCounts
from streams.worker.worker_metrics import WorkerMetrics
from tests.applications import bank
from tests.support.memory_server import MemoryServer

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def test_every_route_is_documented_and_no_other() -> None:
    """A new route without a word about it fails here, and so does a word about one that is gone."""
    real = {f"{it.method} {plain_path(it.path)}" for it in ROUTES if it.path not in NOT_TOLD}
    real = real - {f"POST {PUBLISHING}"} | {"POST /events/{type}"}
    documented = set(re.findall(r"(?m)^### `([A-Z]+ [^`]+)`$", PAGE.read_text(encoding="utf-8")))
    assert documented == real


def test_the_answer_that_is_shown_is_the_servers(tmp_path: Path) -> None:
    """A row's body, as the page has it to the letter."""
    text = PAGE.read_text(encoding="utf-8")
    [(path, body)] = re.findall(r"(?m)^\$ curl -s http://127.0.0.1:8080(/rows/\S+)\n(\{.*\})$", text)
    with MemoryServer(processors.app(), tmp_path) as server:
        server.kafka.publish(FolderCreate(folder="u1", owner="u1"))  # as the sign-up of the page does
        assert server.http.get(path).text == body


def test_every_figure_is_documented_and_no_other() -> None:
    """By the name that Prometheus sees, of servers and of workers."""
    app = bank.app()
    observed = ObservedStatus()
    observed.saw(Status("b", "", ()))
    server = Metrics(ReadModel(app, codec_of(app)), set(), StateCounts(), observed=observed)
    text = (server.text() + WorkerMetrics().text()).decode()
    real = set(re.findall(r"(?m)^# TYPE (retold_\w+)", text))
    assert set(re.findall(r"`(retold_\w+)`", PAGE.read_text(encoding="utf-8"))) == real
