"""What most tests on a broker begin with; a file that needs other settings has fixtures of these names of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import Config
from streams.kafka.clients import Clients
from tests.applications import probe
from tests.support.inbox import Foreign
from tests.support.workers import settings


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return Foreign(probe.app(), config, broker)


@pytest.fixture
def clients(config: Config, broker: str) -> Clients:
    return Clients.of(config, broker)
