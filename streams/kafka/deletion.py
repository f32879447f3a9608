"""Deleting all topics and consumer groups of an application's namespaces, and nothing that another application has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerError, BrokerUnavailable, ConfigError
from streams.kafka.clients import Clients
from streams.kafka.correction_calls_topic import read_calls, write_calls
from streams.kafka.corrections_topic import gone_record, read_claims
from streams.kafka.corrections_writer import CorrectionsWriter
from streams.kafka.owners import group_exists, owners
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
from streams.namespace import NAME


class Deletion(NamedTuple):
    """The topics that were deleted. Those that all applications of a prefix share were not if there are `others`: namespaces."""

    topics: list[str]
    others: list[str]


def delete_all(admin: Admin, prefix: str, namespaces: Sequence[str]) -> Deletion:
    """Returns when the broker shows none of the topics any more.

    Raises ConfigError while a worker runs, before anything is deleted; BrokerUnavailable or BrokerError.
    """
    if held := owners(admin, prefix, namespaces):
        names = ", ".join(sorted({topic for topic, _ in held}))
        raise ConfigError(f"a worker handles {names}: stop `retold run` and every worker first; nothing was deleted")
    _delete_groups(admin, [group_of(prefix, space) for space in namespaces])
    asked = [name for space in namespaces for name in topic_names(prefix, space)[1:]]
    others = _others(admin, prefix, namespaces)
    shared = [] if others else [schemas_topic(prefix), tasks_topic(prefix), corrections_topic(prefix)]
    there = sorted(describe(admin, [*asked, *shared]))
    if there:
        answers = admin.request(AdminClient.delete_topics, there, timeout=TIMEOUT, read=as_is, operation_timeout=TIMEOUT)
        for name, answer in answers.items():
            result(answer, f"deleting the topic {name}", KafkaError.UNKNOWN_TOPIC_OR_PART)
    _wait_until_gone(admin, there)
    return Deletion(there, others)


def _delete_groups(admin: Admin, groups: Sequence[str]) -> None:
    """Before any topic: where this fails, all that was handled is still there, and a worker reads on from its markers."""
    there = [group for group in groups if group_exists(admin, group)]
    if there:
        for group, answer in admin.request(AdminClient.delete_consumer_groups, there, timeout=TIMEOUT, read=as_is).items():
            result(answer, f"deleting the group {group}", KafkaError.GROUP_ID_NOT_FOUND)


def forget_corrections(clients: Clients, prefix: str, application: str) -> None:
    """Take an application's corrections, plans and calls out of the topic that others use, too. Raises BrokerError."""
    corrections, calls = read_claims(clients, prefix, application).states, read_calls(clients, prefix, application)
    write_calls(clients, prefix, (), calls.values())
    if corrections:
        CorrectionsWriter(clients, prefix).write([gone_record(it.correction) for it in corrections])


def _others(admin: Admin, prefix: str, namespaces: Collection[str]) -> list[str]:
    """Other namespaces that have topics under this prefix. Raises BrokerUnavailable."""
    try:
        topics = admin.ask(lambda client: client.list_topics(timeout=TIMEOUT)).topics
    except KafkaException as error:
        raise BrokerUnavailable(f"asking which topics there are: the broker did not answer ({error.args[0].str()})") from error
    inboxes = [topic for topic in topics if topic_names("", topic).log in topics and topic.startswith(prefix)]
    found = (topic.removeprefix(prefix) for topic in inboxes)
    return sorted(name for name in found if NAME.fullmatch(name) and name not in namespaces)


def _wait_until_gone(admin: Admin, names: Sequence[str]) -> None:
    deadline = admin.clock.monotonic() + TIMEOUT
    while left := describe(admin, names):
        if admin.clock.monotonic() > deadline:
            raise BrokerError(f"the topics {', '.join(sorted(left))} were deleted, and the broker still shows them")
        admin.clock.sleep(0.1)
