"""What topics do not keep: partitions whose first records were deleted, and settings by which Kafka deletes or alters records.

A topic that is compacted begins at offset 0 for ever: compaction takes records out, and never moves the first offset. Only
retention and DeleteRecords do, and whoever reads the rest does not see that something is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from streams.config import FIRST_OFFSET
from streams.errors import BrokerError
from streams.kafka.offsets import Offsets, TopicAndPartition
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import (
    TOPICS,
    TopicInfo,
    TopicNames,
    corrections_topic,
    describe,
    schemas_topic,
    setting_problem,
    settings_of,
    tasks_topic,
)

Accepted = Mapping[TopicAndPartition, int]
"""By topic and partition, the first offset that an operator has accepted."""
NOTHING: Accepted = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeletedRecords:
    """The records of a partition before offset `start` were deleted. `lost` says what they were, `do` how to make up for them."""

    topic: str
    partition: int
    start: int
    lost: str
    do: str

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition} begins at offset {self.start}: {self.lost}"


def remedy(found: Sequence[DeletedRecords]) -> str:
    """What to do about all of these, and how to accept them."""
    steps = "; ".join(dict.fromkeys(it.do for it in found))
    accepted = ",".join(f"{it.topic}-{it.partition}@{it.start}" for it in found)
    return (
        f"See that the topic has cleanup.policy=compact (`retold topics`); {steps}. When that is done, accept it, beside what is "
        f"accepted already: RETOLD_ACCEPTED_STARTS={accepted}; docs/troubleshooting.md says more."
    )


def not_handled(inbox: str, partition: int, start: int, position: int) -> str:
    """About an inbox that begins at `start`, behind the `position` where handling should go on.

    The end of a transaction takes an offset, too, so that an inbox in which all is handled may be deleted beyond its position.
    """
    return (
        f"handling of {inbox}-{partition} should go on at offset {position}, and the topic begins at {start}: events were deleted "
        "before they were handled, or an end of a transaction was, which takes an offset too. Look at its retention. When what is "
        f"missing is published again, or nothing is, accept it: RETOLD_ACCEPTED_STARTS={inbox}-{partition}@{start}, beside what is "
        "accepted already; docs/troubleshooting.md says more"
    )


def accepted_starts(text: str | None) -> Accepted:
    """Reads the setting `accepted_starts`, such as `user-due-0@12,user-table-1@40`."""
    found = (re.fullmatch(FIRST_OFFSET, part) for part in (text or "").split(","))
    return {(it[1], int(it[2])): int(it[3]) for it in found if it is not None}


def never_cut(names: TopicNames) -> tuple[str, str, str]:
    """The topics of a namespace whose first records are missed if they are deleted: of a log, `retold verify` says it."""
    return names.table, names.due, names.parked


def deleted_records(names: TopicNames, start: Offsets, accepted: Accepted) -> list[DeletedRecords]:
    """Of a namespace's table, due and parked topics, by their first offsets, as far as nobody has accepted it."""
    lost = dict(zip(never_cut(names), _lost(names.namespace), strict=True))
    return [
        DeletedRecords(topic, number, offset, *lost[topic])
        for (topic, number), offset in start.items()
        if topic in lost and offset > accepted.get((topic, number), 0)
    ]


def wrong_settings(admin: Admin, prefix: str, topics: Mapping[str, TopicInfo], spaces: Sequence[TopicNames]) -> tuple[str, ...]:
    """Sentences about the settings, of those topics that exist, by which records are deleted or get another time.

    These do not depend on the configuration. Empty if this user may not see settings: a worker looks when it starts.
    """
    shared = {"schemas": schemas_topic(prefix), "tasks": tasks_topic(prefix), "corrections": corrections_topic(prefix)}
    kinds = {names[1 + number]: kind for names in spaces for number, kind in enumerate(TOPICS[: len(names) - 1])}
    kinds |= {shared[kind.name]: kind for kind in TOPICS if kind.name in shared}
    try:
        there = {*topics} | {*describe(admin, [*shared.values()])}
        found = settings_of(admin, [name for name in kinds if name in there])
    except BrokerError:
        return ()
    problems = (
        setting_problem(topic, it.name, it.comparison, it.value, settings.get(it.name, ""))
        for topic, settings in found.items()
        for it in kinds[topic].settings
        if it.comparison == "equal"
    )
    return tuple(it for it in problems if it)


def _lost(namespace: str) -> tuple[tuple[str, str], ...]:
    """What was deleted and what to do about it: of a table, a due and a parked topic."""
    return (
        (
            "rows may be missing, and events of their keys are handled as if there were none",
            f"give {namespace} the next generation and run `retold rebuild start {namespace}`, which makes the rows from the log",
        ),
        (
            "timers and calls of gateways may be missing, and will not come",
            "run `retold verify`, which names emissions that are lost, and publish again what is needed",
        ),
        (
            "parked and quarantined events may be missing, and cannot be tried again",
            "run `retold verify`, which names events that are lost, and publish again what is needed",
        ),
    )
