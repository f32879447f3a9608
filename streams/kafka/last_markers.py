"""The last marker of each partition of tables: what their workers have handled, and as which generation of rows."""

from __future__ import annotations

from collections.abc import Iterable

from streams.app import App
from streams.engine.marker import Marker
from streams.errors import HistoryError
from streams.kafka.clients import Clients
from streams.kafka.messages import marker_of, topic_partition_of
from streams.kafka.offsets import TopicAndPartition, stable_ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topic_contents import read_spans
from streams.kafka.topics import TIMEOUT, describe, topic_names

FIRST_LOOK = 300
"""Records before a table's end where its last marker is searched first; then eight times as many, and so on."""


def last_markers(clients: Clients, admin: Admin, partitions: Iterable[TopicAndPartition]) -> dict[TopicAndPartition, Marker]:
    """The last committed marker of each partition that has one, searched backwards from the end. Raises BrokerError."""
    partitions = list(partitions)
    first, last = starts(admin, partitions), stable_ends(admin, partitions)
    found: dict[TopicAndPartition, Marker] = {}
    left, width = set(partitions), FIRST_LOOK
    while left:
        spans = {partition: (max(first[partition], last[partition] - width), last[partition]) for partition in left}
        for message in read_spans(clients, "retold-status", spans, timeout=TIMEOUT):
            if (record := marker_of(message)) is not None:
                found[topic_partition_of(message)] = record
        left = {partition for partition in left if partition not in found and spans[partition][0] > first[partition]}
        width *= 8
    return found


def other_generation(namespace: str, theirs: int, ours: int) -> str:
    """What is so where workers keep other rows than the code here makes."""
    return (
        f"workers keep rows of generation {theirs} of {namespace}, and the code here makes those of generation {ours}, which they "
        "do not take"
    )


def refuse_other_generation(clients: Clients, prefix: str, app: App) -> None:
    """Raises HistoryError where workers keep other rows than the code here makes: they would take no step of a correction."""
    admin, spaces = clients.admin(), {topic_names(prefix, space.name).table: space for space in app.namespaces}
    partitions = [(name, number) for name, info in describe(admin, [*spaces]).items() for number in range(info.partitions)]
    for (table, _), marker in last_markers(clients, admin, partitions).items():
        space = spaces[table]
        if marker.generation != space.generation:
            raise HistoryError(
                f"{other_generation(space.name, marker.generation, space.generation)}. Nothing was done: apply the correction "
                "with the code that they have, or once they have gone over to this one"
            )
