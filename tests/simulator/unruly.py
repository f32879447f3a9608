"""Clients of a `MemoryBroker` whose requests meet faults: a worker that is killed, a broker that is away, ends that come late.

A request is announced to `Trouble.meet` first. What it raises is what librdkafka reports in such a case; a `Crash` is nobody's to
catch. An end whose copy comes late is applied again when its time has come, to whatever transaction of that producer is open then:
all transactions of a producer have one epoch (EndTxn v1, rule 31). What was asked of a broker that stood still is served when it
goes on, though whoever asked has given up: each `init_transactions` then fences who came meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.clients import Clients
from streams.kafka.coordinator_connection import COORDINATOR
from tests.simulator import faults
from tests.simulator.broker import (
    ABORTED,
    COMMITTED,
    OPEN,
    MemoryBroker,
    Metadata,
    TopicAndPartition,
    Transaction,
    refusal,
)
from tests.simulator.clients import MemoryAdmin, MemoryConsumer
from tests.simulator.faults import Fault
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.time import SkewedClock

Record = tuple[bytes | None, bytes | None, Any]
"""Its key, value and headers."""
CLOSER = 0.01
"""s that a request takes: virtual time goes by, also in a worker that is never idle."""
TRANSACTION = 10.0
LATE_BEHIND = 12
"""Records of a transaction behind which a late copy of an end may arrive."""
LATE_INITS = 8
"""Requests of an id at most that are served when a broker goes on."""
NOT_IN_A_PAUSE = {faults.PAUSE, faults.LATE_COMMIT, faults.CRASH, faults.RESTART, faults.DEPLOY}
BEYOND_ONE_CLIENT = {
    faults.PAUSE, faults.LATE_COMMIT, faults.EXPIRE, faults.COMPACT, faults.RESTART, *faults.ACTIONS,
}  # fmt: skip


class Crash(BaseException):
    """The process ends at once."""


def timed_out(*, retriable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=retriable))


class Trouble:
    """What requests meet. `act` does what is beyond one client: a pause, in which others go on; a session that is over."""

    def __init__(self, broker: MemoryBroker, plan: Sequence[Fault], act: Callable[[str, Fault], None]) -> None:
        self.broker, self._act = broker, act
        self.left = list(plan)
        self._clocks: dict[str, SkewedClock] = {}
        self.requests = 0
        self.away_until = 0.0
        self._none_too_old = 0.0
        """Up to when no transaction is."""
        self.late: list[tuple[float, UnrulyProducer, Transaction, str]] = []
        self.late_records: list[tuple[float, UnrulyProducer, TopicAndPartition, Record]] = []
        self.late_inits: list[tuple[float, str]] = []
        """When they are served, and the ids of their producers."""
        self.trace: list[str] = []
        self.turns: dict[str, Callable[[], None]] = {}
        """Of owners that wait for their turn before each request."""
        self.busy = False
        """Whether others act in a pause of one: a second pause waits."""

    @property
    def happened(self) -> int:
        return sum(line.startswith("fault ") for line in self.trace)

    def clock_of(self, owner: str) -> SkewedClock:
        """Of the machine that it runs on."""
        return self._clocks.setdefault(owner, SkewedClock(self.broker.clock))

    def tell(self, line: str) -> None:
        self.trace.append(line)

    def meet(self, owner: str, request: str) -> Fault | None:
        """The fault of this request that its client has to show; others are done here. Raises Crash, or that the broker is away."""
        if (wait_for_turn := self.turns.get(owner)) is not None:
            wait_for_turn()
        self.requests += 1
        clock = self.broker.clock
        clock.seconds = now = clock.seconds + CLOSER
        if now > self._none_too_old or self.late or self.late_records or self.late_inits:  # mostly time brings nothing
            self.go_by()
        if now < self.away_until:
            clock.sleep(0.2)
            return Fault(0, faults.AWAY, 0.0)
        for fault in self.left:
            if fault.at > self.requests:
                break
            if fault.applies_to(request) and not (self.busy and fault.kind in NOT_IN_A_PAUSE):
                self.left.remove(fault)
                what = "action" if fault.kind in faults.ACTIONS else "fault"
                self.tell(f"{what} {fault.kind} at request {self.requests}, {request} of {owner}, at {clock.monotonic():.2f} s")
                return self._shown(owner, fault)
        return None

    def go_by(self) -> None:
        """What the passing of time does: late copies arrive, and the broker aborts transactions that are too old."""
        now = self.broker.clock.monotonic()
        if self.late or self.late_records:
            self._arrive(now)
        for it in [it for it in self.late_inits if it[0] <= now]:
            self.late_inits.remove(it)
            self._fence(it[1])
        if now > self._none_too_old:
            self._abort_old(now)

    def _arrive(self, now: float) -> None:
        for it in [it for it in self.late if it[0] <= now]:
            self.late.remove(it)
            _, producer, ended, state = it
            open_one = producer.transaction
            if producer.is_current() and open_one is not None and open_one.state == OPEN and open_one is not ended:
                self.tell(f"a late copy ends another transaction: {state}")
                self.broker.end(open_one, state)
        for record in [it for it in self.late_records if it[0] <= now]:
            self.late_records.remove(record)
            _, producer, topic_partition, (key, value, headers) = record
            if not producer.is_transactional:
                self.tell(f"a record is appended to {topic_partition} that was taken for lost")
                self.broker.append(topic_partition, key, value, headers, None)
            elif producer.is_current() and (producer.transaction is None or producer.transaction.state != OPEN):
                self.tell(f"a record is appended to {topic_partition} behind the end of its transaction")
                self.broker.append(topic_partition, key, value, headers, Transaction(producer, now))

    def serve_late(self, name: str) -> None:
        """An `init_transactions` of this id has no answer. The broker serves one after the other when it goes on."""
        waiting = sum(it == name for _, it in self.late_inits)
        if waiting < LATE_INITS:
            self.late_inits.append((self.away_until + 0.3 * (1 + waiting), name))

    def _fence(self, name: str) -> None:
        self.tell(f"a late init_transactions fences {name}")
        found = self.broker.producers.get(name)
        if found is not None and found.transaction is not None and found.transaction.state == OPEN:
            self.broker.end(found.transaction, ABORTED)
        self.broker.producers[name] = SimpleNamespace(transaction=None)

    def _abort_old(self, now: float) -> None:
        began = now
        for name, producer in [*self.broker.producers.items()]:
            open_one = producer.transaction
            if open_one is None or open_one.state != OPEN:
                continue
            if open_one.is_known and now > open_one.began + TRANSACTION:
                self.tell(f"the broker aborts the transaction of {name}, which is too old")
                self.broker.end(open_one, ABORTED)
                self.broker.producers[name] = SimpleNamespace(transaction=None)
            else:
                began = min(began, open_one.began)
        self._none_too_old = began + TRANSACTION  # those that begin later are too old later

    def _shown(self, owner: str, fault: Fault) -> Fault | None:
        match fault.kind:
            case faults.CRASH:
                raise Crash
            case faults.AWAY:
                self.away_until = self.broker.clock.monotonic() + 30 * fault.amount**2
            case faults.CLOCK:
                self.clock_of(owner).step(round((fault.amount - 0.5) * 4 * 3600))
            case kind if kind in BEYOND_ONE_CLIENT:
                self._act(owner, fault)
                return None
        return fault


def unruly_clients(trouble: Trouble, owner: str) -> Clients:
    """Of one worker."""
    kinds: dict[Any, Callable[[Mapping[str, Any]], Any]] = {
        Consumer: lambda options: UnrulyConsumer(trouble, owner, options),
        Producer: lambda options: UnrulyProducer(trouble, owner, options),
        AdminClient: lambda options: UnrulyAdmin(trouble, owner, options),
    }
    return Clients("memory:0", clock=trouble.clock_of(owner), make=lambda kind, options: kinds[kind](options))


class UnrulyConsumer(MemoryConsumer):
    def __init__(self, trouble: Trouble, owner: str, options: Mapping[str, Any]) -> None:
        super().__init__(trouble.broker, options)
        self._trouble, self._owner = trouble, owner

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        fault = self._trouble.meet(self._owner, "poll")
        if fault is not None and fault.kind == faults.AWAY:
            self._broker.clock.sleep(timeout)
            return []
        return super().consume(count, timeout)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        fault = self._trouble.meet(self._owner, "ask")
        if fault is not None and fault.kind in (faults.AWAY, faults.SILENCE):
            self._broker.clock.sleep(timeout)
            raise timed_out()
        return super().committed(partitions, timeout)


class UnrulyProducer(MemoryProducer):
    """What it reports of its coordinator's connection arrives when it is polled, as with librdkafka."""

    def __init__(self, trouble: Trouble, owner: str, options: Mapping[str, Any]) -> None:
        super().__init__(trouble.broker, options)
        self._trouble, self._owner = trouble, owner
        self._logger = options.get("logger")
        self._failed = False
        self._ended: tuple[Transaction, str] | None = None
        """What was ended, though nobody was told."""
        self._late_copy, self._until_late = "", 0
        """The late copy of an end, and behind how many records of another transaction it arrives."""

    def init_transactions(self, timeout: float) -> None:
        try:
            self._answered("init", timeout)
        except KafkaException:
            self._trouble.serve_late(self._id or "")
            raise
        super().init_transactions(timeout)

    def begin_transaction(self) -> None:
        self._trouble.meet(self._owner, "begin")
        super().begin_transaction()
        self._failed, self._ended = False, None

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1, callback: Any = None,
        on_delivery: Any = None, timestamp: int = 0, headers: Any = None,
    ) -> None:  # fmt: skip
        fault = self._trouble.meet(self._owner, "produce")
        self._meet_late_copy()
        if fault is not None and fault.kind == faults.LATE_RECORD:
            self._fail(KafkaError._MSG_TIMED_OUT)
            comes = self._broker.clock.monotonic() + 2 * fault.amount**2
            self._trouble.late_records.append((comes, self, self._place(topic, key, partition), (key, value, headers)))
            return None
        if fault is not None and fault.kind in (faults.UNDELIVERED, faults.AWAY):
            self._fail(KafkaError._MSG_TIMED_OUT)
            if fault.kind == faults.AWAY or fault.amount < 0.5:
                return None  # else it was written, and nobody knows
            if self._id is None:
                self._broker.append(self._place(topic, key, partition), key, value, headers, None)
                return None
        if self.transaction is not None and self.transaction.state != OPEN:
            self._fail(KafkaError.INVALID_TXN_STATE)  # a late copy has ended it
            return None
        return super().produce(topic, value, key, partition, callback, on_delivery, timestamp, headers)

    def send_offsets_to_transaction(self, offsets: Sequence[TopicPartition], metadata: Metadata, timeout: float) -> None:
        fault = self._answered("offsets", timeout)
        if self._failed:
            raise refusal(KafkaError._MSG_TIMED_OUT)
        if fault is not None and fault.kind == faults.OFFSETS_REFUSED:
            if fault.amount < 0.5:
                raise timed_out(retriable=True)
            raise refusal(KafkaError.COORDINATOR_NOT_AVAILABLE)
        super().send_offsets_to_transaction(offsets, metadata, timeout)

    def commit_transaction(self, timeout: float) -> None:
        self._check_order(self.transaction is not None)
        if self._failed:
            raise refusal(KafkaError._MSG_TIMED_OUT)
        self._end_with(COMMITTED, "commit", timeout)

    def abort_transaction(self, timeout: float) -> None:
        self._end_with(ABORTED, "abort", timeout)

    def _meet_late_copy(self) -> None:
        if not self._late_copy or self.transaction is None or not self.transaction.is_known:
            return
        self._until_late -= 1
        if self._until_late <= 0:
            self._trouble.tell(f"a late copy ends another transaction: {self._late_copy}")
            self._broker.end(self.transaction, self._late_copy)
            self._late_copy = ""

    def _fail(self, code: int) -> None:
        """What was written is not delivered, which shows only when the transaction is to be committed."""
        self._failed = True
        self._report(code)

    def _end_with(self, state: str, request: str, timeout: float) -> None:
        fault = self._answered(request, timeout)
        kind = fault.kind if fault is not None else ""
        if self._ended is not None and self._ended[1] == state:  # asked again: it was done
            self.transaction = None
            return
        if kind == faults.LOST_END:
            raise timed_out(retriable=True)
        ended = self.transaction
        if ended is not None and ended.state != OPEN and self.is_current():  # a late copy was here
            self.transaction = None
            if ended.state != state:
                raise refusal(KafkaError.INVALID_TXN_STATE)
            return
        super()._end(state)
        assert ended is not None
        if kind == faults.LOST_ANSWER:
            self._ended, self.transaction = (ended, state), ended
            raise timed_out(retriable=True)
        if kind == faults.LATE_END and fault is not None:
            now = self._broker.clock.monotonic()
            if fault.amount < 0.5:
                self._trouble.late.append((now + 0.01 + 16 * fault.amount**2, self, ended, state))
            else:
                self._late_copy, self._until_late = state, 1 + int(fault.amount * 100) % LATE_BEHIND
            self._reports.append(self._disturbed)

    def _disturbed(self) -> None:
        if self._logger is not None:
            self._logger.log(logging.INFO, "%s", f"{COORDINATOR}/1: Disconnected")

    def _answered(self, request: str, timeout: float) -> Fault | None:
        """The fault; raises what a client says that got no answer in time."""
        fault = self._trouble.meet(self._owner, request)
        if fault is not None and fault.kind == faults.AWAY:
            self._broker.clock.sleep(min(timeout, 1.0))
            raise timed_out(retriable=True)
        return fault


class UnrulyAdmin(MemoryAdmin):
    def __init__(self, trouble: Trouble, owner: str, options: Mapping[str, Any]) -> None:
        super().__init__(trouble.broker, options)
        self._trouble, self._owner = trouble, owner

    def list_offsets(self, asked: Mapping[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        if (silent := self._silent(asked)) is not None:
            return silent
        return super().list_offsets(asked, **options)

    def describe_topics(self, asked: Any, **options: Any) -> dict[str, Future[Any]]:
        if (silent := self._silent(asked.topic_names)) is not None:
            return silent
        return super().describe_topics(asked, **options)

    def _silent(self, asked: Any) -> dict[Any, Future[Any]] | None:
        fault = self._trouble.meet(self._owner, "ask")
        if fault is None or fault.kind not in (faults.AWAY, faults.SILENCE):
            return None
        found: dict[Any, Future[Any]] = {}
        for it in asked:
            found[it] = Future()
            found[it].set_exception(timed_out())
        return found
