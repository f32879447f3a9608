"""Deleting all topics and consumer groups of an application's namespaces."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerError, ConfigError
from streams.kafka.owners import owners
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import (
    TIMEOUT,
    as_is,
    corrections_topic,
    describe,
    group_of,
    result,
    schemas_topic,
    tasks_topic,
    topic_names,
)


def delete_all(admin: Admin, prefix: str, namespaces: Sequence[str]) -> list[str]:
    """The names of the topics that were deleted, when the broker shows none of them any more.

    Raises ConfigError while a worker runs, before anything is deleted; BrokerUnavailable or BrokerError.
    """
    if held := owners(admin, prefix, namespaces):
        names = ", ".join(sorted({topic for topic, _ in held}))
        raise ConfigError(f"a worker handles {names}: stop `retold run` and every worker first; nothing was deleted")
    asked = [name for space in namespaces for name in topic_names(prefix, space)[1:]]
    there = sorted(describe(admin, [*asked, schemas_topic(prefix), tasks_topic(prefix), corrections_topic(prefix)]))
    if there:
        answers = admin.request(AdminClient.delete_topics, there, timeout=TIMEOUT, read=as_is, operation_timeout=TIMEOUT)
        for name, answer in answers.items():
            result(answer, f"deleting the topic {name}", KafkaError.UNKNOWN_TOPIC_OR_PART)
    groups = [group_of(prefix, space) for space in namespaces]
    for group, answer in admin.request(
        AdminClient.delete_consumer_groups, groups, timeout=TIMEOUT, read=as_is
    ).items():
        result(answer, f"deleting the group {group}", KafkaError.GROUP_ID_NOT_FOUND, KafkaError.COORDINATOR_NOT_AVAILABLE)
    _wait_until_gone(admin, there)
    return there


def _wait_until_gone(admin: Admin, names: Sequence[str]) -> None:
    deadline = admin.clock.monotonic() + TIMEOUT
    while left := describe(admin, names):
        if admin.clock.monotonic() > deadline:
            raise BrokerError(f"the topics {', '.join(sorted(left))} were deleted, and the broker still shows them")
        admin.clock.sleep(0.1)
