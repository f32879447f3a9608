"""Which generation of rows workers keep, and how far another one is built."""

from __future__ import annotations

from typing import NamedTuple

from streams.engine.generations import BuiltTo, RowsThere, rows_to
from streams.engine.marker import Marker
from streams.kafka.clients import Clients
from streams.kafka.messages import table_record
from streams.kafka.tables_and_logs import OPEN_TRANSACTION, partitions_of
from streams.kafka.topic_contents import read_whole
from streams.kafka.topics import topic_names


class GenerationState(NamedTuple):
    """Of one partition. Workers `keep` a generation; None: nothing was handled yet.

    They have handled events up to sequence `handled`. Rows of the generation that was asked for have everything up to `complete`,
    unless they were `dropped`. `code` is a digest of the code that keeps rows, since sequence `code_since`; empty: it is not known.
    """

    partition: int
    keep: int | None
    handled: int
    complete: int
    dropped: bool = False
    code: str = ""
    code_since: int = 0

    def is_mixed(self, code: str) -> bool:
        """Whether other code than this has made some of the rows that are kept, as far as it is known."""
        return self.code != "" and (self.code != code or self.code_since > 1)


def not_there(namespace: str, partition: int, there: RowsThere, whose: str) -> str:
    """Of rows that lack something: what is so, and what to do. `whose` code has them."""
    what = (
        f"{whose} has rows of generation {there.of} of {namespace}, which {there.lack}; workers keep generation {there.keep} in "
        f"{namespace}-{partition}"
    )
    if there.dropped:
        return f"{what}. Give the code a generation that there was not yet, build its rows, and deploy workers, then servers"
    return f"{what}. Run `retold rebuild start {namespace}` with this code, then deploy workers of it; or deploy the code before"


def read_generations(clients: Clients, prefix: str, namespace: str, generation: int) -> list[GenerationState]:
    """Reads the whole table. Raises BrokerError, and TopicMismatch if there is no such table."""
    topic = topic_names(prefix, namespace).table
    partitions = [(topic, number) for number in range(partitions_of(clients.admin(), topic))]
    markers: dict[int, Marker] = {}
    built: dict[int, BuiltTo] = {}
    for message in read_whole(clients, "retold-table", partitions, timeout=OPEN_TRANSACTION):
        record = table_record(message)
        if isinstance(record, Marker):
            markers[message.partition() or 0] = record
        elif isinstance(record, BuiltTo) and record.generation == generation:
            built[message.partition() or 0] = record
    return [_state(number, markers.get(number), built.get(number), generation) for _, number in partitions]


def _state(number: int, last: Marker | None, built: BuiltTo | None, generation: int) -> GenerationState:
    if last is None:
        return GenerationState(number, None, 0, 0)
    complete, dropped = rows_to(last, built, generation), generation in last.dropped
    return GenerationState(number, last.generation, last.last, complete, dropped, last.code, last.code_since)
