"""The Producer of a `MemoryBroker`: it knows which call is in order, as librdkafka does, and hears of the rest from its broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition, murmur2

from tests.simulator.broker import ABORTED, COMMITTED, OPEN, MemoryBroker, Metadata, TopicAndPartition, Transaction
from tests.simulator.memory_message import MemoryMessage


class MemoryProducer:
    """Plain, or transactional: one producer of an id at a time, the last that was initialized.

    What a broker refuses of a record is told as a failed delivery, when the producer is polled or flushed; its transaction can
    then only be aborted. A producer that was fenced hears so from its next request, and from no call before.
    """

    def __init__(self, broker: MemoryBroker, options: Mapping[str, Any]) -> None:
        self._broker, self._id = broker, options.get("transactional.id")
        self._on_delivery = options.get("on_delivery")
        self._tells_all = not options.get("delivery.report.only.error", True)
        self.transaction: Transaction | None = None
        self._error: KafkaError | None = None
        """After which the transaction must be aborted, or, if it is fatal, nothing more is possible."""
        self._gaps: set[TopicAndPartition] = set()
        """Where a record was refused, whose number the client counts and the broker does not."""
        self._reports: list[Callable[[], None]] = []
        self._fatal: KafkaError | None = None
        """To be raised by the next poll or flush."""

    @property
    def is_transactional(self) -> bool:
        return self._id is not None

    def is_current(self) -> bool:
        return self._broker.producers.get(self._id or "") is self

    def init_transactions(self, _timeout: float) -> None:
        before = self._broker.producers.get(self._id or "")
        if before is not None and before.transaction is not None and before.transaction.state == OPEN:
            self._broker.end(before.transaction, ABORTED)
        self._broker.producers[self._id or ""] = self

    def begin_transaction(self) -> None:
        """No request is sent."""
        self._check_order(self.transaction is None)
        self.transaction = Transaction(self, self._broker.clock.monotonic())

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1, _callback: Any = None,
        on_delivery: Any = None, timestamp: int = 0, headers: Any = None,
    ) -> None:  # fmt: skip
        topic, partition = self._place(topic, key, partition)
        if self._id is not None:
            if self._error is not None or self.transaction is None:
                fatal = self._error is not None and self._error.fatal()
                raise KafkaException(KafkaError(KafkaError._FATAL if fatal else KafkaError._STATE))
            if not self.is_current():
                return self._fence()
            self.transaction.partitions.add((topic, partition))
        if not self._broker.takes(topic, value):
            if self._id is not None:
                self._gaps.add((topic, partition))
            return self._refuse(KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.MSG_SIZE_TOO_LARGE)
        if (topic, partition) in self._gaps:
            self._gaps.clear()  # by the abort, after which it counts anew
            return self._refuse(KafkaError._PURGE_QUEUE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
        offset = self._broker.append((topic, partition), key, value, headers, self.transaction)
        if self._tells_all and self._on_delivery is not None:
            self._reports.append(partial(self._on_delivery, None, MemoryMessage((topic, partition), offset, None)))
        return None

    def send_offsets_to_transaction(self, offsets: Sequence[TopicPartition], metadata: Metadata, _timeout: float) -> None:
        self._check_order(self.transaction is not None)
        self._check_current()
        assert self.transaction is not None
        self.transaction.has_offsets = True
        try:
            self._broker.check(metadata)
        except KafkaException as error:
            self._error = error.args[0]
            raise
        for it in offsets:
            self.transaction.offsets[metadata.group, (it.topic, it.partition)] = it.offset

    def commit_transaction(self, _timeout: float) -> None:
        self._check_order(self.transaction is not None)
        self._end(COMMITTED)

    def abort_transaction(self, _timeout: float) -> None:
        if self._error is None or self._error.fatal():
            self._check_order(self.transaction is not None)
        self._end(ABORTED)

    def fail(self, error: KafkaError) -> None:
        """It hears of a fatal error now, as of an answer to an earlier request."""
        self._error = self._fatal = error

    def poll(self, _timeout: float) -> int:
        """Raises KafkaException once if a request was answered by what nothing can follow on."""
        while self._reports:
            self._reports.pop(0)()
        if self._fatal is not None:
            fatal, self._fatal = self._fatal, None
            raise KafkaException(fatal)
        return 0

    def flush(self, timeout: float) -> int:
        return self.poll(timeout)

    def _place(self, topic: str, key: bytes | None, partition: int) -> TopicAndPartition:
        return topic, partition if partition >= 0 else int(murmur2(key or b"", len(self._broker.topics[topic])))

    def _end(self, state: str) -> None:
        """Nothing is sent to end a transaction that nobody heard of."""
        self.poll(0)
        assert self.transaction is not None
        if self.transaction.is_known:
            self._check_current()
            self._broker.end(self.transaction, state)
        self.transaction, self._error = None, None

    def _check_order(self, fine: bool) -> None:
        if self._error is not None:
            raise KafkaException(self._error)
        if not fine:
            raise KafkaException(KafkaError(KafkaError._STATE))

    def _check_current(self) -> None:
        if not self.is_current():
            self._error = KafkaError(KafkaError._FENCED, fatal=True)
            raise KafkaException(self._error)

    def _fence(self) -> None:
        self._report(KafkaError._PURGE_QUEUE)
        self._error = self._fatal = KafkaError(KafkaError._FENCED, fatal=True)

    def _refuse(self, told: int, code: int) -> None:
        """`told` is what a delivery report says, `code` what the transaction must be aborted for."""
        self._report(told)
        if self._id is not None:
            self._error = KafkaError(code, txn_requires_abort=True)

    def _report(self, code: int) -> None:
        if self._on_delivery is not None:
            self._reports.append(partial(self._on_delivery, KafkaError(code), None))
