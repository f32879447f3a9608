"""The topics that all namespaces share, where somebody has added partitions: one of them is written and read."""

from __future__ import annotations

from confluent_kafka.cimpl import NewPartitions

from streams.config import Config
from streams.kafka.corrections_writer import CorrectionsWriter
from streams.kafka.offsets import ends
from streams.kafka.schemas_topic import all_schemas
from streams.kafka.task_reports import ReportReader
from streams.kafka.topics import corrections_topic, ensure, schemas_topic, tasks_topic
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign
from tests.support.workers import Running, until

MANY = 6


def test_added_partitions_of_a_shared_topic_hide_nothing(config: Config, broker: str, foreign: Foreign) -> None:
    """A correction that is in another one is never read: rows have it, and the past does not. So with schemas, and reports."""
    admin, clients = foreign.clients.admin(), foreign.clients
    ensure(admin, config, ["echo"])
    topics = [make(config.prefix) for make in (schemas_topic, tasks_topic, corrections_topic)]
    for topic in topics:
        admin.client.create_partitions([NewPartitions(topic, MANY)])[topic].result(20)
    until(lambda: all(len(admin.client.list_topics(it, timeout=20).topics[it].partitions) == MANY for it in topics), "not added")
    assert [report.problems for report in ensure(admin, config, ["echo"]) if report.problems] == []
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
        reader = ReportReader(clients, admin, config.prefix)
        until(lambda: len(reader.read() or {}) >= config.partitions, "reports are missing")
        assert all_schemas(clients, config.prefix).keys() >= foreign.codec.schema_ids().keys()
    CorrectionsWriter(clients, config.prefix).write([(b"correction %d" % number, b"{}") for number in range(10)])
    written = {at: end for at, end in ends(admin, [(topic, at) for topic in topics for at in range(MANY)]).items() if end}
    assert written.keys() == {(topic, 0) for topic in topics}
