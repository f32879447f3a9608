"""Kafka in a container: tried where a Docker engine answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.clients import Clients
from streams.kafka.topics import ensure, topic_names
from streams.localbroker import docker
from streams.localbroker.choose import own
from tests.support.workers import settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # the testing library's own
]


def topics(address: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": address}).list_topics(timeout=20).topics)


def test_where_an_engine_answers_kafka_runs_in_it_and_its_data_stay(tmp_path: Path) -> None:
    """Without a setting that names a broker. What was made is there at the next start, though not the container."""
    if not docker.answers():
        pytest.skip("no Docker engine answers")
    import docker as engine

    client, config = engine.from_env(), settings(tmp_path, "docker.")
    inbox = topic_names(config.prefix, "user").inbox
    before = {container.id for container in client.containers.list(all=True)}
    try:
        with own(config) as address:
            ensure(Clients.of(config, address).admin(), config, ["user"])
            assert inbox in topics(address)
        with own(config) as address:
            assert inbox in topics(address)
        assert {container.id for container in client.containers.list(all=True)} <= before
    finally:
        client.volumes.get((tmp_path / "kafka.volume").read_text(encoding="utf-8")).remove()
        client.close()
