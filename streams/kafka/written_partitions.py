"""The partitions that a transaction has written to, so that none of them keeps it open (a hanging transaction, KIP-664).

A broker that stood still takes up requests again in any order. A record of a transaction that its coordinator has ended meanwhile
may be appended behind that end: then the partition waits for an end that never comes, and no reader gets past the record (seen).
The next end of a transaction of the same transactional id that reaches the partition ends that one, too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from streams.errors import BrokerError
from streams.kafka.offsets import TopicAndPartition, held_up
from streams.kafka.renewed_client import Admin, as_raised

log = logging.getLogger("retold.kafka")

KEY = b"\x00end"
"""Of records in a transaction that is aborted: nobody reads them."""
KEPT = 10_000
"""Keys that are kept: as many records fit into any producer's queue."""
Keyed = tuple[bytes, bytes | None, Any]
"""Key, value and headers of a record."""
SECONDS = 2.0
"""s that the broker has to say what is held up."""


class WrittenPartitions:
    """Those of the last transaction. Where the partitioner chose the partition, the key stands for it."""

    def __init__(self) -> None:
        self._partitions: set[TopicAndPartition] = set()
        self._keys: set[tuple[str, bytes]] = set()

    def add(self, topic: str, partition: int, key: bytes) -> None:
        if partition >= 0:
            self._partitions.add((topic, partition))
        elif len(self._keys) < KEPT:
            self._keys.add((topic, key))

    def noted(self, topic: str, partition: int, records: Iterable[Keyed]) -> Iterable[Keyed]:
        """The same records, which are about to be written there."""
        if partition >= 0:
            self._partitions.add((topic, partition))
            return records
        records = list(records)
        for record in records:
            self.add(topic, partition, record[0])
        return records

    def clear(self) -> None:
        self._partitions.clear()
        self._keys.clear()

    def write_again(self, producer: Producer, seconds: float) -> bool:
        """Begin a transaction that writes to each of them, to be aborted; False: there are none. Raises KafkaException."""
        if not self._partitions and not self._keys:
            return False
        producer.begin_transaction()
        with suppress(KafkaException, BufferError):  # such as a topic that is gone: the others are sent
            for topic, partition in self._partitions:
                producer.produce(topic, None, KEY, partition)
            for topic, key in self._keys:
                producer.produce(topic, None, key)
        as_raised(partial(producer.flush, seconds))  # what is aborted before it is sent reaches no partition
        return True


def partitions_held_up(admin: Admin, partitions: Sequence[TopicAndPartition]) -> Collection[TopicAndPartition]:
    """Those that an open transaction holds up, whoever's it is; none if the broker does not say."""
    try:
        return held_up(admin, partitions, timeout=SECONDS)
    except BrokerError as error:
        log.warning("it is unknown whether a transaction of an earlier process hangs: %s", error)
        return ()
