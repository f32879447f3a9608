"""Which generation of rows workers keep, and how far another one is built."""

from __future__ import annotations

from typing import NamedTuple

from streams.engine.generations import BuiltTo, rows_to
from streams.engine.marker import Marker
from streams.kafka.bounded_read import read_to
from streams.kafka.clients import OVERDUE, TRANSACTION, Clients
from streams.kafka.messages import table_record
from streams.kafka.offsets import ends, starts
from streams.kafka.tables_and_logs import partitions_of
from streams.kafka.topics import topic_names


class GenerationState(NamedTuple):
    """Of one partition. Workers `keep` a generation; None: nothing was handled yet.

    They have handled events up to sequence `handled`. Rows of the generation that was asked for have everything up to `complete`,
    unless they were `dropped`.
    """

    partition: int
    keep: int | None
    handled: int
    complete: int
    dropped: bool = False


def read_generations(clients: Clients, prefix: str, namespace: str, generation: int) -> list[GenerationState]:
    """Reads the whole table. Raises BrokerError, and TopicMismatch if there is no such table."""
    admin, topic = clients.admin(), topic_names(prefix, namespace).table
    partitions = [(topic, number) for number in range(partitions_of(admin, topic))]
    first, last = starts(admin, partitions), ends(admin, partitions)
    markers: dict[int, Marker] = {}
    built: dict[int, BuiltTo] = {}
    consumer = clients.consumer("retold-table")
    try:
        spans = {at: (first[at], last[at]) for at in partitions}
        for message in read_to(consumer, spans, clock=clients.clock, timeout=TRANSACTION + OVERDUE):
            record = table_record(message)
            if isinstance(record, Marker):
                markers[message.partition() or 0] = record
            elif isinstance(record, BuiltTo) and record.generation == generation:
                built[message.partition() or 0] = record
    finally:
        consumer.close()
    return [_state(number, markers.get(number), built.get(number), generation) for _, number in partitions]


def _state(number: int, last: Marker | None, built: BuiltTo | None, generation: int) -> GenerationState:
    if last is None:
        return GenerationState(number, None, 0, 0)
    return GenerationState(number, last.generation, last.last, rows_to(last, built, generation), generation in last.dropped)
