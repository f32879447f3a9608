"""Topics of a real broker that somebody changes under a running worker (rules 14 and 34)."""

from __future__ import annotations

import re

import pytest
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streams.config import Config
from streams.errors import TopicMismatch
from streams.kafka.topics import describe, ensure, topic_names
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until


def hear(foreign: Foreign, count: int) -> None:
    foreign.publish_together({f"{count}-{number}": EchoHear(name=f"k{number % 20}") for number in range(count)})


def make_again(foreign: Foreign, topic: str) -> None:
    admin = foreign.clients.admin()
    admin.client.delete_topics([topic])[topic].result(20)
    until(lambda: not describe(admin, [topic]), "the topic is still there")
    admin.client.create_topics([NewTopic(topic, 2, 1, config={"message.timestamp.type": "LogAppendTime"})])[topic].result(20)
    until(lambda: topic in describe(admin, [topic]), "the topic is not made")


def test_an_inbox_made_again_with_more_records_stops_its_namespace(config: Config, broker: str, foreign: Foreign) -> None:
    """Read on from the old offset, half of the events would be skipped with no lag. What is said to do works."""
    names = topic_names(config.prefix, "echo")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        hear(foreign, 600)
        until(lambda: worker.counted("echo", "accepted") == 600, "not handled")
        make_again(foreign, names.inbox)
        hear(foreign, 1200)
        until(worker.ended, "the worker goes on")
    [error] = worker.errors
    assert isinstance(error, TopicMismatch)
    assert f"{names.inbox} was deleted and made again while this worker ran" in str(error)
    assert f"delete those that no longer fit: {', '.join(names[2:])}" in str(error)
    admin = foreign.clients.admin()
    for future in admin.client.delete_topics(list(names[2:])).values():
        future.result(20)
    until(lambda: not describe(admin, names[2:]), "the topics are still there")
    admin.client.delete_topics([names.inbox])[names.inbox].result(20)  # this test made it by hand, with other settings
    until(lambda: not describe(admin, [names.inbox]), "the inbox is still there")
    ensure(admin, config, ["echo"])
    hear(foreign, 1200)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: worker.counted("echo", "accepted") == 1200, "not handled")


@pytest.mark.parametrize("kind", ["log", "table"])
def test_what_is_said_of_a_log_or_table_made_again_works(config: Config, broker: str, foreign: Foreign, kind: str) -> None:
    """Also if the worker has written into the new one: all of the inbox is handled again, though its group was ahead."""
    names, admin = topic_names(config.prefix, "echo"), foreign.clients.admin()
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        hear(foreign, 600)
        until(lambda: worker.counted("echo", "accepted") == 600, "not handled")
        make_again(foreign, getattr(names, kind))
        hear(foreign, 60)
        until(worker.ended, "the worker goes on")
    told = str(worker.errors[0])
    topics = re.search(r"delete those that no longer fit: (.*), and the group", told)
    group = re.search(r"kafka-consumer-groups --delete --group (\S+);", told)
    assert topics is not None
    assert group is not None
    for future in admin.client.delete_topics(topics[1].split(", ")).values():
        future.result(20)
    until(lambda: not describe(admin, names[2:]), "the topics are still there")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(worker.ended, "it begins anew though the group was not deleted")
    assert f"delete the group's offsets, too: kafka-consumer-groups --delete --group {group[1]}" in str(worker.errors[0])
    admin.client.delete_consumer_groups([group[1]])[group[1]].result(20)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: worker.counted("echo", "accepted") == 660, "not handled")


def test_added_partitions_stop_the_namespace_and_no_setting_is_said_to_help(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """The restore refuses RETOLD_PARTITIONS with the new number, so nobody is told to set it."""
    names = topic_names(config.prefix, "echo")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
        admin = foreign.clients.admin()
        admin.client.create_partitions([NewPartitions(names.inbox, 3)])[names.inbox].result(20)
        until(worker.ended, "the worker goes on")
    texts = [str(worker.errors[0])]
    for reports in (ensure(admin, config, ["echo"]),):
        texts += [problem for report in reports for problem in report.problems]
    assert len(texts) == 2
    for text in texts:
        assert "Kafka cannot take partitions away, and no setting makes them fit" in text
        assert "RETOLD_PARTITIONS" not in text


def test_topics_that_were_all_made_with_another_number_need_a_setting(config: Config, broker: str, prefix: str) -> None:
    """The number in the settings is the mistake, then; following the sentence ends it."""
    admin = Foreign(probe.app(), config, broker).clients.admin()
    ensure(admin, settings(config.state, prefix, partitions="3"), ["echo"])
    problems = {problem for report in ensure(admin, config, ["echo"]) for problem in report.problems}
    assert all("If the topics were made with 3, set RETOLD_PARTITIONS=3" in problem for problem in problems), problems
    assert not any(report.problems for report in ensure(admin, settings(config.state, prefix, partitions="3"), ["echo"]))
