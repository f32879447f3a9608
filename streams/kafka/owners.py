"""Which worker owns which partition, according to the consumer groups."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TIMEOUT, as_is, group_of, result

NO_OWNER_KNOWN = (
    KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""Errors when there is no worker yet, or a broker has just started and has no coordinator for the group yet."""


def owners(
    admin: Admin, prefix: str, namespaces: Iterable[str], *, cancelled: Cancelled = never_cancelled
) -> dict[TopicAndPartition, str]:
    """The client id of the member that owns each inbox partition. Raises BrokerError; PartitionLost when cancelled."""
    groups = [group_of(prefix, namespace) for namespace in namespaces]
    if not groups:
        return {}
    found = {}
    ask = AdminClient.describe_consumer_groups
    answers = admin.request(ask, groups, timeout=TIMEOUT, read=as_is, cancelled=cancelled)
    for group, answer in answers.items():
        described = result(answer, f"asking for the group {group}", *NO_OWNER_KNOWN)
        for member in described.members if described is not None else []:
            for at in member.assignment.topic_partitions if member.assignment else []:
                found[at.topic, at.partition] = member.client_id
    return found


def member_ids(admin: Admin, group: str) -> set[str]:
    """The client ids of all members of a group. Raises BrokerError, also if its coordinator does not know it now."""
    answers = admin.request(AdminClient.describe_consumer_groups, [group], timeout=TIMEOUT, read=as_is)
    return {member.client_id for member in result(answers[group], f"asking for the group {group}").members}
