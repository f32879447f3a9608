"""Drops a generation of rows: owners note that nobody goes on with it, and then its rows are deleted."""

from __future__ import annotations

from collections.abc import Iterator

from streams.engine.control import DropCommand, encode
from streams.engine.generations import is_of, row_key_of
from streams.errors import BrokerError, HistoryError
from streams.kafka.cancellable_steps import Steps
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.table_generations import read_generations
from streams.kafka.tables_and_logs import OPEN_TRANSACTION, partitions_of
from streams.kafka.topic_contents import read_whole
from streams.kafka.topics import topic_names

CONFIRMED = 15.0
"""s that the broker has to confirm what is written."""
AT_ONCE = 10_000
"""Records that wait to be confirmed."""
PATIENCE, PAUSE = 60.0, 1.0
"""s that owners have to note it, and between two looks."""


class DroppedGeneration:
    """Used by one thread. `who` drops it.

    A worker that goes back to these rows finds the note in its partition's marker when it restores, and every worker restores what
    it takes over. So once all markers have it, nobody reads these rows any more.
    """

    def __init__(self, clients: Clients, prefix: str, namespace: str, generation: int, who: str) -> None:
        self._clients, self._prefix, self._namespace = clients, prefix, namespace
        self._generation, self._who = generation, who

    def drop(self) -> Steps[int]:
        """Gives how many rows were deleted. Dropped again it deletes what an earlier attempt has left.

        Raises HistoryError while a worker keeps this generation, and BrokerError.
        """
        names = topic_names(self._prefix, self._namespace)
        count = partitions_of(self._clients.admin(), names.table)
        producer = ConfirmedProducer(self._clients, "retold-rebuild", delivery=CONFIRMED, patience=CONFIRMED + 1.0)
        if not self._is_noted():
            value = encode(DropCommand("drop", self._generation, self._who))
            for number in range(count):
                producer.put(names.inbox, value, b"", number)
            self._flush(producer)
            yield from self._until_noted()
        rows = set[str]()
        for number, (partition, key) in enumerate(self._keys(names.table, count), 1):
            rows.add(row_key_of(key).entity)
            producer.put(names.table, None, key, partition)
            if number % AT_ONCE == 0:
                self._flush(producer)
        self._flush(producer)
        return len(rows)

    def _is_noted(self) -> bool:
        """Raises HistoryError while a worker keeps it."""
        states = read_generations(self._clients, self._prefix, self._namespace, self._generation)
        for it in states:
            if it.keep == self._generation:
                raise HistoryError(
                    f"workers keep generation {self._generation} of {self._namespace}-{it.partition}: deploy code of another "
                    "generation first, and drop it when no worker keeps it any more"
                )
        return all(it.dropped for it in states)

    def _until_noted(self) -> Steps[None]:
        clock, waited = self._clients.clock, 0.0
        began = clock.monotonic()
        while not self._is_noted():
            if max(waited, clock.monotonic() - began) > PATIENCE:  # to look takes long where a table is large
                raise BrokerError(
                    f"after {PATIENCE:.0f} s not every partition of {self._namespace} has noted that generation "
                    f"{self._generation} is dropped: no worker runs, or one is blocked (`retold status`). Nothing was deleted; "
                    "drop it again then"
                )
            yield PAUSE
            waited += PAUSE

    def _keys(self, table: str, count: int) -> Iterator[tuple[int, bytes]]:
        partitions = [(table, number) for number in range(count)]
        gone: set[tuple[int, bytes]] = set()
        there: dict[tuple[int, bytes], None] = {}
        for message in read_whole(self._clients, "retold-table", partitions, timeout=OPEN_TRANSACTION):
            at = message.partition() or 0, message.key() or b""
            if is_of(at[1], self._generation):
                (gone.discard if message.value() is not None else gone.add)(at)
                there[at] = None
        yield from (at for at in there if at not in gone)

    def _flush(self, producer: ConfirmedProducer) -> None:
        producer.flush(f"generation {self._generation} of {self._namespace} could not be dropped", "Drop it again")
