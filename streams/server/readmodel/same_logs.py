"""Whether the logs in Kafka are those that a file was read from.

A copy of Kafka's data that is older than the file, once it is put back and written on, has the same topics and enough offsets, and
other records. Then rows of the file would stay that Kafka never had, and others would be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from confluent_kafka import Consumer, Message

from streams.clock import Clock
from streams.engine.envelope import log_header
from streams.errors import UndecodableRecord
from streams.history.recorded_event import NamespacePartition
from streams.kafka.bounded_read import first_records, headers_of, read_to
from streams.kafka.clients import Clients
from streams.kafka.offsets import TopicAndPartition
from streams.server.readmodel.store import StoreDoubt
from streams.server.readmodel.store_writer import StoredPosition, StoreWriter

NEAR, FAR = (1, 2), (64, 4096)
"""How many offsets before its position a log is looked into, until a record is found there. Mostly the last record is followed by
the end of its transaction, which takes one. What was aborted takes more. Where nothing is found, nothing is known of that log."""
TIMEOUT = 10.0
"""s for each of these looks."""


def refuse_other_logs(
    clients: Clients, writer: StoreWriter, logs: Mapping[str, str], starts: Mapping[TopicAndPartition, int]
) -> None:
    """Raises StoreDoubt if the last record in front of the file's position is not the one that the file has.

    `logs` are the topics of logs and their namespaces; `starts` are the first offsets that there are. Raises BrokerError.
    """
    read = {at: writer.positions.get(("log", logs[at[0]], at[1])) for at in starts if at[0] in logs}
    unseen = {at: it for at, it in read.items() if it is not None and it.sequence}
    consumer = clients.consumer("retold-server")
    try:
        for back in NEAR:
            begins = {at: max(starts[at], it.next_offset - back) for at, it in unseen.items()}
            for message in first_records(consumer, begins, clock=clients.clock, timeout=TIMEOUT):
                at = message.topic() or "", message.partition() or 0
                before = (message.offset() or 0) < unseen[at].next_offset
                if before and _is_known(writer, unseen[at], (logs[at[0]], at[1]), message):
                    del unseen[at]
        for at, position in unseen.items():
            for back in FAR:
                begin = max(starts[at], position.next_offset - back)
                found = _records_before(consumer, at, begin, position.next_offset, clients.clock)
                if any(_is_known(writer, position, (logs[at[0]], at[1]), message) for message in reversed(found)):
                    break
    finally:
        consumer.close()


def _records_before(consumer: Consumer, at: TopicAndPartition, begin: int, end: int, clock: Clock) -> list[Message]:
    """Those of a partition from one offset to the one before another; what follows is not read to its end."""
    messages = read_to(consumer, {at: (begin, end)}, clock=clock, timeout=TIMEOUT)
    return [*takewhile(lambda it: (it.offset() or 0) < end, messages)]


def _is_known(writer: StoreWriter, position: StoredPosition, partition: NamespacePartition, message: Message) -> bool:
    """False for a record that tells nothing: an erased one, or one that no worker wrote."""
    if message.value() is None:
        return False
    try:
        header = log_header(headers_of(message))
    except UndecodableRecord:
        return False
    sequence, recorded = header.sequence, header.recorded
    if sequence == position.sequence:
        known: int | None = position.recorded
    else:
        known = writer.recorded(*partition, sequence)
        if known is None and sequence < position.sequence:
            return False  # it was erased in the file, or left out
    if known != recorded:
        raise StoreDoubt(
            f"offset {message.offset()} of {message.topic()}-{message.partition()} has another event than the file read there: "
            "an older copy of Kafka's data was put back"
        )
    return True
