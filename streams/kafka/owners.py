"""Which worker owns which partition, according to the consumer groups.

librdkafka 2.16 ends the process (`rd_kafka_enq_once_del_source_return`, an assertion) if a request of its admin client to a group's
coordinator fails in a moment in which it is about to be sent, or after its timeout, as where a broker goes away and comes back. So
groups are asked for by its older call, which asks every broker for the groups that it coordinates, and has no part in this.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.renewed_client import Admin, got_no_answer
from streams.kafka.topics import TIMEOUT, group_of, result

# confluent-kafka warns that there is a newer call, which is the one that ends the process. As an error, it would be an odd one.
warnings.filterwarnings("ignore", r"list_groups\(\) is deprecated", DeprecationWarning)

NO_OWNER_KNOWN = (
    KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""Errors when there is no worker yet, or a broker has just started and has no coordinator for the group yet."""
DEAD = "Dead"
"""The state of a group that does not exist (any more)."""
ATTEMPT, PAUSE = 2.0, 0.1
"""s for one attempt, which cannot be cancelled, and between two of them."""


def owners(
    admin: Admin, prefix: str, namespaces: Iterable[str], *, timeout: float = TIMEOUT, cancelled: Cancelled = never_cancelled
) -> dict[TopicAndPartition, str]:
    """The client id of the member that owns each inbox partition. Raises BrokerError; PartitionLost when cancelled."""
    deadline = admin.clock.monotonic() + timeout
    found: dict[TopicAndPartition, str] = {}
    for namespace in namespaces:
        for member in _members(admin, group_of(prefix, namespace), deadline, cancelled):
            found |= dict.fromkeys(assigned(member.assignment), member.client_id)
    return found


def member_ids(admin: Admin, group: str) -> set[str]:
    """The client ids of all members of a group; none if its coordinator does not know it now. Raises BrokerError."""
    members = _members(admin, group, admin.clock.monotonic() + TIMEOUT, never_cancelled)
    return {member.client_id for member in members}


def listed_members(admin: Admin, group: str, timeout: float, cancelled: Cancelled) -> set[str]:
    """The client ids of all members of a group. Raises BrokerError, also while no broker knows its coordinator.

    Raises PartitionLost when cancelled.
    """
    deadline = admin.clock.monotonic() + timeout
    listed = _groups(admin, group, deadline, cancelled, (KafkaError.GROUP_ID_NOT_FOUND,))
    return {member.client_id for it in listed for member in it.members}


def group_exists(admin: Admin, group: str) -> bool:
    """Whether the broker has offsets or members of it. Raises BrokerError, also while no broker knows its coordinator.

    It may have no coordinator for groups at all, as where none was ever made: asked to delete one, it makes the topic of offsets
    first, and says meanwhile that another broker coordinates.
    """
    listed = _groups(admin, group, admin.clock.monotonic() + TIMEOUT, never_cancelled, (KafkaError.GROUP_ID_NOT_FOUND,))
    return any(it.state != DEAD for it in listed)


def _members(admin: Admin, group: str, deadline: float, cancelled: Cancelled) -> list[Any]:
    return [member for it in _groups(admin, group, deadline, cancelled, NO_OWNER_KNOWN) for member in it.members]


def _groups(admin: Admin, group: str, deadline: float, cancelled: Cancelled, absent: Collection[int]) -> list[Any]:
    """As librdkafka gives them; none if it does not exist, or for an error of which the code is among `absent`."""
    clock = admin.clock
    while True:
        raise_if_cancelled(cancelled)
        left = min(ATTEMPT, max(PAUSE, deadline - clock.monotonic()))
        try:
            listed = [it for it in admin.ask(partial(_listed, group=group, timeout=left)) if it.id == group]
            error = next((KafkaException(it.error) for it in listed if it.error is not None), None)
        except KafkaException as raised:
            listed, error = [], raised
        if error is not None and got_no_answer(error) and clock.monotonic() < deadline:
            clock.sleep(PAUSE)
            continue
        if error is not None:
            result(error, f"asking for the group {group}", *absent)
            return []
        return listed


def _listed(client: AdminClient, group: str, timeout: float) -> list[Any]:
    groups: list[Any] = client.list_groups(group, timeout=timeout)
    return groups


def assigned(assignment: bytes) -> list[TopicAndPartition]:
    """The partitions in a member's assignment (Kafka's ConsumerProtocolAssignment); none in one that is no consumer's."""
    try:
        return list(_read(memoryview(assignment)))
    except (struct.error, UnicodeDecodeError):
        return []


def _read(assignment: memoryview) -> Iterator[TopicAndPartition]:
    if not assignment:  # of a member that waits for the group's leader
        return
    (topics,) = struct.unpack_from(">i", assignment, 2)
    at = 6
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", assignment, at)
        topic = bytes(assignment[at + 2 : at + 2 + length]).decode()
        at += 2 + length
        (count,) = struct.unpack_from(">i", assignment, at)
        numbers = struct.unpack_from(f">{max(count, 0)}i", assignment, at + 4)
        at += 4 + 4 * len(numbers)
        yield from ((topic, number) for number in numbers)
