"""A transactional producer: it begins, writes and ends transactions, and is replaced when it may make no further one.

It follows docs/correctness: what each error inside a transaction means, and that nothing of a transaction in doubt is
undone locally. A producer whose last EndTxn was disturbed is replaced: `init_transactions` of the new one fences what may
still arrive from the old one (rule 31).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streams.clock import SYSTEM, Clock
from streams.errors import StreamsError
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.renewed_client import as_raised
from streams.kafka.words_of_errors import words_of
from streams.kafka.written_partitions import Keyed, WrittenPartitions

log = logging.getLogger("retold.kafka")

POISON = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD}
FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
SILENT = {KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._TRANSPORT}
GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}  # fmt: skip
"""Errors of a partition that nothing can be written to any more: there nothing can be ended."""
LATE, YOUNG = 60.0, 10.0
"""s after a request without an answer, and after the start of a process, in which a fence may be the work of such a request, or of
one of the process before: a broker that goes on may still serve it."""

PLAIN = None, None, 0
"""What a record has by place before its headers: no callback of its own, under either name, and the time of now. Named headers
take 0.25 µs more."""

BY_KEY = -1
"""The partition of a record that the partitioner chooses, however many partitions its topic has."""

OnDelivery = Callable[[KafkaError | None, Any], None]
HeldUp = Callable[[], Iterable[TopicAndPartition]]
Complete = Callable[[str], None]
Make = Callable[[OnDelivery, CoordinatorConnection], Producer]


class TransactionAborted(StreamsError):
    """The transaction has no effect. `poison`: it failed only because a record's size or form was refused."""

    def __init__(self, message: str, *, poison: bool = False) -> None:
        super().__init__(message)
        self.poison = poison


class ProducerLost(StreamsError):
    """The producer is unusable and the transaction's result is unknown: drop the images, make a new producer, restore.

    `fenced`: another producer with the same transactional id took over, or the transaction outlived its timeout. `late`: it may
    have been a late request of our own. `age` in s.
    """

    def __init__(self, message: str, *, fenced: bool, age: float, late: bool = False) -> None:
        super().__init__(message)
        self.fenced, self.age, self.late = fenced, age, late


class RecordRefused(StreamsError):
    """The Kafka client refuses the record before it is sent."""


UNFINISHED = (KafkaException, BufferError, RecordRefused)
"""What writing to a transaction may raise; it must not be committed then."""


class TransactionalProducer:
    """One transaction at a time under one transactional id, over any number of producers.

    `make` builds a producer from the callback for failed deliveries and the watcher of its coordinator connection. `timeout`
    (s) is that of its transactions. `what` names the transactions in messages. `held_up` gives the partitions, of those that
    it writes to, that a transaction holds up when it starts: an earlier process of this id may have left one that hangs.
    `complete` is given the id before each new producer, and commits what Kafka has committed in other partitions (rule 37).
    """

    def __init__(
        self, make: Make, transactional_id: str, what: str, *, timeout: float = 10.0, clock: Clock = SYSTEM,
        held_up: HeldUp = tuple, complete: Complete = lambda _: None,
    ) -> None:  # fmt: skip
        self._make, self._id, self._what, self._timeout, self._clock = make, transactional_id, what, timeout, clock
        self._producer: Producer | None = None
        self._coordinator = CoordinatorConnection(clock)
        self._failures, self._began = list[KafkaError](), 0.0
        self._made, self._doubtful, self._late_until = 0, False, clock.monotonic() + YOUNG
        self._written, self._held_up, self._complete = WrittenPartitions(), held_up, complete
        self.is_open = False

    @property
    def replaced(self) -> int:
        """How many producers were replaced so far."""
        return max(0, self._made - 1)

    def ready(self) -> None:
        """Have a producer that may begin a transaction. A new one fences others of this id and aborts their open transaction.

        Raises KafkaException if no coordinator answers.
        """
        if self._producer is None or (not self.is_open and self._disturbed(self._producer)):
            self._producer = None  # its connections close
            self._producer = self._new()
            self._made += 1

    def begin(self) -> bool:
        """Begin a transaction unless one is open; returns whether it was begun. Raises KafkaException.

        Raises TransactionAborted if the producer must be replaced first, by `ready`, which may take some time.
        """
        if self.is_open:
            return False
        if self._producer is None or self._disturbed(self._producer):
            raise TransactionAborted(f"a transaction of {self._what} was not begun: its producer is replaced first")
        self._failures.clear()
        self._written.clear()
        self._began = self._clock.monotonic()
        self._live().begin_transaction()
        self.is_open = True
        return True

    def put(self, topic: str, value: bytes | None, key: bytes, partition: int, headers: Any) -> None:
        """Produce a record in the transaction. Raises one of UNFINISHED."""
        self._written.add(topic, partition, key)
        _produce(self._live(), topic, value, key, partition, headers, self._clock, self._deadline())

    def put_all(self, topic: str, partition: int, records: Iterable[Keyed]) -> None:
        """As `put`, for key, value and headers of records of one partition, or BY_KEY: so each call for one is saved."""
        produce = self._live().produce
        for key, value, headers in self._written.noted(topic, partition, records):
            try:
                produce(topic, value, key, partition, *PLAIN, headers)
            except (BufferError, ValueError, TypeError):  # it was not taken: `put` waits for space, or says what is wrong
                self.put(topic, value, key, partition, headers)

    def commit(self, offsets: list[TopicPartition], metadata: Any) -> None:
        """Commit the transaction with the group's offsets, if there are any. Raises TransactionAborted or ProducerLost."""
        producer, deadline = self._live(), self._deadline()
        try:
            if offsets:
                self._call(lambda wait: producer.send_offsets_to_transaction(offsets, metadata, wait), deadline)
        except KafkaException as error:
            self.give_up(error)
        self._coordinator.ending()
        try:
            self._call(producer.commit_transaction, deadline)
        except KafkaException as error:
            self._doubtful = True
            if error.args[0].txn_requires_abort():
                self.give_up(error)
            raise self._lost(error) from error
        self.is_open = False

    def give_up(self, error: BaseException) -> NoReturn:
        """Abort the transaction because of `error`. Raises TransactionAborted, or ProducerLost if the abort fails."""
        if isinstance(error, KafkaException) and error.args[0].fatal():
            raise self._lost(error) from error
        try:
            if self.is_open:
                # The broker has ended one that is too old, and fences its producer later: as if another worker had this name.
                self._doubtful |= self._clock.monotonic() - self._began >= self._timeout
                self._coordinator.ending()
                self._call(self._live().abort_transaction, self._clock.monotonic() + self._timeout)
        except KafkaException as second:
            raise self._lost(second) from error
        self.is_open = False
        codes = {failure.code() for failure in self._failures} - {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
        if isinstance(error, KafkaException) and not codes:
            codes = {error.args[0].code()}
        # A producer that got no answer from a broker may never find its coordinator again (rule 35). One of which the broker
        # refused a record has counted it, so the broker would refuse its next record there as out of order (rule 8).
        self._doubtful |= isinstance(error, BufferError) or (bool(codes) and codes <= SILENT) or not codes.isdisjoint(POISON)
        causes = "; ".join(sorted({words_of(failure) for failure in self._failures})) or str(error)
        raise TransactionAborted(
            f"a transaction of {self._what} was aborted and is tried again: {causes}",
            poison=isinstance(error, RecordRefused) or (bool(codes) and codes <= POISON),
        ) from error

    def close(self) -> None:
        """Abort an open transaction: left open, it would hide what others commit behind it until its timeout."""
        if self._producer is not None and self.is_open:
            with suppress(KafkaException):
                self._producer.abort_transaction(5.0)
        self._producer = None

    def _live(self) -> Producer:
        assert self._producer is not None, "begin() comes first"
        return self._producer

    def _deadline(self) -> float:
        return self._began + self._timeout * 0.9

    def _disturbed(self, producer: Producer) -> bool:
        try:
            as_raised(partial(producer.poll, 0))  # runs the callbacks for what was logged about the connection by now
        except KafkaException as error:  # told late. If another one has fenced it, its next transaction says so
            self._doubtful |= error.args[0].code() not in FENCED
        if self._doubtful or self._coordinator.disturbed:
            log.info("%s: the connection to the transaction coordinator was disturbed; replacing the producer", self._id)
            return True
        return False

    def _new(self) -> Producer:
        self._complete(self._id)
        self._coordinator, self._doubtful, self.is_open = CoordinatorConnection(self._clock), False, False
        producer = self._make(self._on_delivery, self._coordinator)
        try:
            self._call(producer.init_transactions, self._clock.monotonic() + 3 * self._timeout)
        except KafkaException:
            self._doubtful = True
            raise
        finally:
            as_raised(partial(producer.poll, 0))
            # These requests may arrive late too. Each fences a producer that came meanwhile, but ends no transaction.
            if self._coordinator.disturbances or self._doubtful:
                self._late_until = self._clock.monotonic() + LATE
        self._coordinator.disturbances, self._doubtful = 0, False
        self._complete(self._id)  # what came since then; from here on only this producer is let in
        self._end_what_hangs(producer)
        return producer

    def _end_what_hangs(self, producer: Producer) -> None:
        """Have the end of an empty transaction reach all partitions that the lost one wrote to. It is an end like any other.

        A record of it that was not delivered may still come, behind that end, and where it was refused there is no end: then this
        producer is replaced, too. So it is if the broker ended the transaction itself, since a process stood still in its midst.
        """
        for partition in () if self._made else self._held_up():
            self._written.add(*partition, b"")
        self._failures.clear()
        began = self._clock.monotonic()
        try:
            if self._written.write_again(producer, self._timeout):
                self._coordinator.ending()
                self._call(producer.abort_transaction, self._clock.monotonic() + self._timeout)
        except KafkaException as error:
            if not error.args[0].fatal():
                raise
            self._doubtful = self._clock.monotonic() - began >= self._timeout
            return  # if another one has fenced it, its next transaction says so
        # What is too large here was larger then, and so was refused. Anything else, as of a full disk, is no end.
        if not {failure.code() for failure in self._failures} <= GONE | POISON:
            self._doubtful = True
        else:
            self._written.clear()

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and len(self._failures) < 100:
            self._failures.append(error)

    def _call(self, call: Callable[[float], Any], deadline: float) -> None:
        """Retry while the error is retriable: a commit whose answer was lost is requested again too."""
        while True:
            try:
                as_raised(partial(call, max(0.1, deadline - self._clock.monotonic())))
            except KafkaException as error:
                if not error.args[0].retriable() or self._clock.monotonic() >= deadline:
                    raise
                self._doubtful = True
            else:
                return

    def _lost(self, error: KafkaException) -> ProducerLost:
        was_open, self._producer, self.is_open = self.is_open, None, False
        now, fenced = self._clock.monotonic(), error.args[0].code() in FENCED
        if was_open and not fenced:  # the broker may end late what was left open, and fence with that who came meanwhile
            self._late_until = now + LATE
        why, late = f"the producer {self._id} was lost: {words_of(error.args[0])}", now < self._late_until
        return ProducerLost(why, fenced=fenced, age=now - self._began, late=late)


def _produce(  # noqa: PLR0913 - a record, and until when
    producer: Producer, topic: str, value: bytes | None, key: bytes, partition: int, headers: Any, clock: Clock, deadline: float
) -> None:
    """Produce a record; while the producer's queue is full, wait until `deadline`. Raises one of UNFINISHED."""
    while True:
        try:
            return producer.produce(topic, value, key, partition, headers=headers)
        except BufferError:
            if clock.monotonic() > deadline:
                raise BufferError("the producer's queue stayed full") from None
            as_raised(partial(producer.poll, 0.05))
        except (ValueError, TypeError) as error:
            raise RecordRefused(f"a record for {topic}-{partition} is not taken by the Kafka client: {error}") from error
