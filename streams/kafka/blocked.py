"""Why partitions are blocked, and what to do about it: the same for `retold status`, health and metrics."""

from __future__ import annotations

from typing import NamedTuple

from streams.engine.records import HANDLER, OUTDATED, SCHEMA, SLOW
from streams.kafka.parked import InboxOffset
from streams.kafka.status import BlockedPartition, NamespaceStatus, PartitionStatus
from streams.kafka.task_reports import BLOCKED, key_of

CAUSES = (SCHEMA, HANDLER, SLOW, OUTDATED)
NEVER_RETURNS = (
    "If it does not return, its process ends; after a second such call the event is parked. Correct the handler: what waits "
    "belongs in a gateway."
)
RESTART = (
    "The application here can handle that record, and the worker of {where} runs another one: start the worker again with this one."
)
DEPLOY = {
    SCHEMA: "If that will never be known, set the event aside: `retold parked quarantine {at} --why …`.",
    HANDLER: "Deploy the application that has it, or set the event aside: `retold parked quarantine {at} --why …`.",
}


class Blocked(NamedTuple):
    """`cause` is one of `CAUSES`; `why` are words about it without a full stop; `do` are sentences about what to do."""

    partition: int
    cause: str
    why: str
    do: str


def blocked_partitions(space: NamespaceStatus) -> list[Blocked]:
    """In the order of partitions."""
    here = {it.partition: it for it in space.waiting}
    found = (blocked(space.name, part, here.get(part.partition)) for part in space.partitions)
    return [it for it in found if it is not None]


def blocked(namespace: str, part: PartitionStatus, record: BlockedPartition | None) -> Blocked | None:
    """`record` is the partition's next one, if the application here cannot handle it. None: the partition is not blocked.

    A worker in which a handler runs knows the record, whatever the application here knows. Any other partition is judged by
    the application here, since that is what an operator can deploy.
    """
    if part.state == BLOCKED and part.state_cause == SLOW:
        return Blocked(part.partition, SLOW, part.state_why, NEVER_RETURNS)
    if record is not None:
        return Blocked(part.partition, record.cause, record.reason, what_to_do(namespace, record))
    if part.state == BLOCKED:
        return Blocked(part.partition, OUTDATED, part.state_why, RESTART.format(where=key_of(namespace, part.partition)))
    return None


def what_to_do(namespace: str, record: BlockedPartition) -> str:
    """About a record that the application here cannot handle."""
    return DEPLOY[record.cause].format(at=InboxOffset(namespace, record.partition, record.offset))
