"""Deleting an application's topics from a broker on which no worker has ever run."""

from __future__ import annotations

from pathlib import Path

from streams.kafka.clients import Clients
from streams.kafka.deletion import delete_all
from streams.kafka.owners import group_exists
from streams.kafka.topics import ensure, group_of, topic_names
from streams.localbroker import embedded
from tests.support.workers import settings


def test_topics_that_no_worker_has_handled_are_deleted(tmp_path: Path) -> None:
    """The broker has made no coordinator of groups yet: asked to delete one, it refused, when the topics were gone already."""
    config = settings(tmp_path, "new.")
    with embedded.start(tmp_path / "broker") as running:
        clients = Clients.of(config, running.address)
        admin = clients.admin()
        ensure(admin, config, ["user"])
        assert set(topic_names("new.", "user")[1:]) <= set(delete_all(admin, "new.", ["user"]).topics)
        assert not group_exists(admin, group_of("new.", "user"))
        assert "__consumer_offsets" not in admin.client.list_topics(timeout=10).topics
