"""Reads from Kafka what is not in the read model, with a consumer of its own for each call, and sends commands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from confluent_kafka import Message

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.control import OperatorCommand
from streams.errors import OutcomeTimeout, StreamsError
from streams.history.recorded_event import NamespacePartition
from streams.kafka.backlog import BacklogReader
from streams.kafka.bounded_read import first_records, headers_of
from streams.kafka.clients import Clients
from streams.kafka.deleted_records import NOTHING, Accepted
from streams.kafka.offsets import ends, starts
from streams.kafka.outcomes import OutcomeReader
from streams.kafka.parked import InboxOffset, send_commands
from streams.kafka.schemas_topic import LearningCodec, all_schemas
from streams.kafka.status import Status, status
from streams.kafka.topics import topic_names
from streams.receipt import Receipt
from streams.server.readmodel.known_outcome import KnownOutcome, known_outcome
from streams.server.readmodel.timed_cache import TimedCache

TIMEOUT = 5.0
STATUS_FOR = 1.0
"""s for which a status, or the error of reading it, is cached."""


class KafkaArchive:
    """The Archive of streams/server/http/parts.py."""

    def __init__(
        self, clients: Clients, prefix: str, codec: AvroCodec, namespaces: Sequence[str], accepted: Accepted = NOTHING
    ) -> None:
        """`accepted` as the setting `accepted_starts`."""
        self._clients, self._prefix, self._codec = clients, prefix, codec
        self._admin = clients.admin("retold-server")
        backlog = BacklogReader(clients)
        self._status = TimedCache(lambda: status(clients, prefix, namespaces, codec, backlog, accepted), STATUS_FOR)

    def learn(self) -> None:
        LearningCodec(self._codec, self._clients, self._prefix).learn()

    def receipt(self, partition: NamespacePartition, offset: int) -> Receipt | None:
        message, (namespace, number) = self._in_inbox(partition, offset), partition
        if message is None:
            return None
        texts = {name: (value or b"").decode(errors="replace") for name, value in headers_of(message)}
        key = (message.key() or b"").decode(errors="replace")
        receipt = Receipt(namespace, texts.get("ce_type", ""), key, texts.get("ce_id", ""))
        receipt.partition, receipt.timestamp, receipt.offset = number, message.timestamp()[1], offset
        return receipt

    def data(self, partition: NamespacePartition, offset: int) -> EventData | None:
        message = self._in_inbox(partition, offset)
        if message is not None:
            with suppress(StreamsError):
                return self._codec.decode(message.value() or b"")
        return None

    def _in_inbox(self, partition: NamespacePartition, offset: int) -> Message | None:
        at = topic_names(self._prefix, partition[0]).inbox, partition[1]
        if not starts(self._admin, [at])[at] <= offset < ends(self._admin, [at])[at]:
            return None
        message = self._record(at, offset)
        if message is None or message.offset() != offset:
            return None  # a control record, or a record of an aborted transaction
        return message

    def _record(self, at: tuple[str, int], offset: int) -> Message | None:
        """The first readable record from an offset on; None if an end comes first. Raises BrokerError."""
        consumer = self._clients.consumer("retold-outcomes")
        try:
            return next(first_records(consumer, {at: offset}, clock=self._clients.clock, timeout=TIMEOUT), None)
        finally:
            consumer.close()

    def became(self, receipt: Receipt) -> KnownOutcome | None:
        outcomes = OutcomeReader(self._clients, self._prefix)
        try:
            found = outcomes.wait(receipt, time.monotonic() + TIMEOUT)
        except OutcomeTimeout:
            return None
        finally:
            outcomes.close()
        return known_outcome(found)

    def status(self) -> Status:
        """The status, at most a second old."""
        return self._status.get()

    def command(self, namespace: str, command: OperatorCommand) -> InboxOffset:
        """Send it to its key's partition; returns where it is."""
        [place] = send_commands(self._clients, self._prefix, namespace, [command])
        return place

    def schemas(self) -> Mapping[int, str]:
        return all_schemas(self._clients, self._prefix)
