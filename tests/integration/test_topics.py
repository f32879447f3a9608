"""Topics on a real broker: made, compared, described."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.config import Config
from streams.errors import BrokerError, TopicMismatch
from streams.kafka.clients import Clients
from streams.kafka.corrections_topic import ensure_corrections
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import corrections_topic, describe, ensure, raise_for_problems, tasks_topic, topic_names
from tests.support.workers import settings, until


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


def test_topics_are_made_once(config: Config, broker: str) -> None:
    """The first call makes all eight, the second finds them right and makes none."""
    admin = Clients.of(config, broker).admin()
    first, second = ensure(admin, config, ["user"]), ensure(admin, config, ["user"])
    assert [(len(first), all(report.created for report in first))] == [(8, True)]
    assert [(report.created, report.problems) for report in second] == [(False, ())] * 8
    raise_for_problems(second)


def test_a_missing_topic_is_a_problem_when_none_is_made(config: Config, broker: str) -> None:
    """A mere check changes nothing on the broker."""
    admin = Clients.of(config, broker).admin()
    reports = ensure(admin, config, ["user"], create=False)
    assert ["is missing" in report.problems[0] for report in reports] == [True] * 8
    assert describe(admin, [report.name for report in reports]) == {}


def test_a_wrong_setting_is_reported_with_both_values(config: Config, broker: str) -> None:
    """Partitions, policy, time stamps and size of a topic that somebody else made are compared with the table."""
    admin, topic = Clients.of(config, broker).admin(), topic_names(config.prefix, "user").log
    wrong = {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "max.message.bytes": "1000000"}
    admin.client.create_topics([NewTopic(topic, 5, 1, config=wrong)])[topic].result(20)
    until(lambda: topic in describe(admin, [topic]), "the broker does not show the topic")
    reports = ensure(admin, config, ["user"])
    [report] = [report for report in reports if report.name == topic]
    assert not report.created
    for said in (
        "has 5 partitions; 2 were expected",
        "cleanup.policy=delete; compact was expected",
        "message.timestamp.type=CreateTime; LogAppendTime was expected",
        "max.message.bytes=1000000; at least 1179648 was expected",
        "delete.retention.ms=86400000; at least 604800000 was expected",
    ):
        assert any(topic in problem and said in problem for problem in report.problems), said
    assert len(report.problems) == 5
    with pytest.raises(TopicMismatch, match="5 partitions"):
        raise_for_problems(reports)


class Overtaken(Admin):
    """Somebody else makes one topic after this one has looked and before it makes what is missing."""

    theirs: NewTopic

    def request(self, method: Any, asked: Any, **options: Any) -> Any:
        if method is AdminClient.create_topics and self.theirs.topic in [it.topic for it in asked]:
            self.client.create_topics([self.theirs])[self.theirs.topic].result(20)
        return super().request(method, asked, **options)


def test_a_topic_that_somebody_else_makes_meanwhile_is_compared(config: Config, broker: str) -> None:
    """It is not reported as made here: its partitions and settings are another one's."""
    topic = topic_names(config.prefix, "user").inbox
    admin = Overtaken(lambda: Clients.of(config, broker).admin().client)
    admin.theirs = NewTopic(topic, 5, 1, config={"retention.ms": "1000"})
    reports = ensure(admin, config, ["user"])
    [report] = [report for report in reports if report.name == topic]
    assert [it.created for it in reports].count(True) == 7
    assert (report.created, report.partitions) == (False, 5)
    assert any("has 5 partitions; 2 were expected" in problem for problem in report.problems)
    assert any("retention.ms=1000; -1 was expected" in problem for problem in report.problems)
    with pytest.raises(TopicMismatch, match="5 partitions"):
        raise_for_problems(reports)


class Refusing(Admin):
    """Of a user without the right to one topic: `method` answers for it as a broker does then."""

    method: Any
    topic: str

    def request(self, method: Any, asked: Any, **options: Any) -> Any:
        topics = asked.topic_names if isinstance(asked, TopicCollection) else [getattr(it, "topic", "") for it in asked]
        if method is self.method and self.topic in topics:
            return {self.topic: KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no right"))}
        return super().request(method, asked, **options)


@pytest.mark.parametrize("method", [AdminClient.describe_topics, AdminClient.create_topics])
def test_a_topic_that_is_not_needed_stops_nobody(method: Any, config: Config, broker: str) -> None:
    """Without a right to it a worker has its other topics all the same; `retold topics` says what is wrong."""
    admin = Refusing(lambda: Clients.of(config, broker).admin().client)
    admin.method, admin.topic = method, tasks_topic(config.prefix)
    reports = ensure(admin, config, ["user"])
    raise_for_problems(reports)
    assert [it.created for it in reports] == [True] * 6 + [False, True]
    assert "TOPIC_AUTHORIZATION_FAILED" in reports[-2].problems[0]
    elsewhere = replace(config, prefix=f"{config.prefix}b.")
    admin.topic = topic_names(elsewhere.prefix, "user").log
    with pytest.raises(BrokerError, match="TOPIC_AUTHORIZATION_FAILED"):
        ensure(admin, elsewhere, ["user"])


def test_nothing_is_corrected_where_corrections_would_be_forgotten(config: Config, broker: str) -> None:
    """Such as in a topic that the broker itself made, since somebody wrote to it: its records are deleted after days."""
    admin, topic = Clients.of(config, broker).admin(), corrections_topic(config.prefix)
    admin.client.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    until(lambda: topic in describe(admin, [topic]), "the broker does not show the topic")
    with pytest.raises(TopicMismatch, match=r"nothing is corrected, since .* cleanup.policy=delete; compact was expected"):
        ensure_corrections(admin, config, ["user"])
    for answer in admin.client.delete_topics([topic]).values():
        answer.result(20)
    until(lambda: topic not in describe(admin, [topic]), "the broker still shows the topic")
    ensure_corrections(admin, config, ["user"])


def test_a_larger_size_than_needed_is_no_problem(config: Config, broker: str) -> None:
    """Sizes are lower bounds: the configuration may ask for less than the topic takes."""
    admin = Clients.of(config, broker).admin()
    ensure(admin, replace(config, max_event_bytes=3_000_000), ["user"])
    raise_for_problems(ensure(admin, config, ["user"]))


def test_a_topic_made_again_has_another_id(config: Config, broker: str) -> None:
    """Positions of the old one mean nothing in the new one, and its id shows it."""
    admin, topic = Clients.of(config, broker).admin(), topic_names(config.prefix, "user").inbox
    ensure(admin, config, ["user"])
    before = describe(admin, [topic])[topic]
    admin.client.delete_topics([topic])[topic].result(20)
    until(lambda: not describe(admin, [topic]), "the topic is still there")
    ensure(admin, config, ["user"])
    after = describe(admin, [topic])[topic]
    assert (before.partitions, after.partitions) == (2, 2)
    assert before.id != after.id
