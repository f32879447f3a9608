"""Who owns which partition, asked of a real broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streams.config import Config
from streams.kafka.owners import owners
from tests.applications import probe
from tests.support.inbox import Foreign
from tests.support.workers import Running

ROOT = Path(__file__).parents[2]


def test_each_partition_has_its_worker(config: Config, broker: str, foreign: Foreign) -> None:
    """By the client id that its member gave; without a worker, and in a group that there is not, nothing is owned."""
    admin = foreign.clients.admin()
    with Running(probe.app(), config, broker, ["echo"]):
        found = owners(admin, config.prefix, ["echo", "probe"])
        assert found.keys() == {(f"{config.prefix}echo", 0), (f"{config.prefix}echo", 1)}
        assert {*found.values()} == {f"{config.prefix}retold.probe.echo.test.0"}
    assert owners(admin, config.prefix, ["echo", "probe"]) == {}


def test_a_process_that_asks_for_owners_outlives_connections_that_are_cut(broker: str) -> None:
    """Librdkafka's admin client ends the process by an assertion when a question to a group's coordinator is about to be sent.

    It was a server's in a chaos run: its broker was restarted twice.
    """
    words = [sys.executable, "-m", "tests.support.owners_asker", broker, "10"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0
