"""What workers say of their partitions: the last report of each, in a topic of its own, for who looks from outside.

Key: `user-3`. Value: JSON, a `Report`. A report is about operation and not about truth: nothing reads one to decide, and
no event waits for one. Who reads must compare its worker with the partition's present owner, since a worker that was killed
leaves its last reports behind (`state_of`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.engine.readable import harmless, named
from streams.errors import BrokerError, PartitionLost, TopicMismatch
from streams.kafka.bounded_read import read_to
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import describe, tasks_topic

log = logging.getLogger("retold.tasks")

REASON_SHOWN = 500
"""Characters of a reason that are told."""
DELIVERY, SLICE = 5.0, 0.1
"""s after which a report that the broker has not taken is dropped, and between two looks whether it is still wanted."""
RESTORING, RUNNING, BLOCKED = "restoring", "running", "blocked"
STARTING, NO_WORKER = "starting", "no worker"
"""What is said of a partition whose owner has not reported yet, and of one that nobody owns."""
STATES = (RESTORING, RUNNING, BLOCKED, STARTING, NO_WORKER)

Micros = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]
"""µs since 1970, up to the year 9999."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """`worker` is the client id with which its sender is in the group, which is its transactional id too.

    `since` is when the partition came into this `state`. While it restores, `done` of `total` records are read.
    """

    state: str
    since: Micros
    worker: str
    why: str = ""
    done: int = 0
    total: int = 0


class State(NamedTuple):
    """What a partition does, since when (µs since 1970) and why, as far as it is known."""

    name: str | None = None
    since: int | None = None
    why: str = ""


def key_of(namespace: str, partition: int) -> str:
    return f"{namespace}-{partition}"


def report_reason(text: str) -> str:
    """A reason as a report has it: on one line, nothing in it drives a terminal, and it is not too long to read."""
    whole = harmless(" ".join(text.split()))
    return whole if len(whole) <= REASON_SHOWN else f"{whole[: REASON_SHOWN - 1]}…"


def state_of(reports: Mapping[str, Report] | None, key: str, owner: str | None) -> State:
    """Of one partition: its report counts if the partition's present owner wrote it. `reports` None: there are none to be had."""
    if owner is None:
        return State(NO_WORKER)
    if reports is None:
        return State()
    report = reports.get(key)
    if report is None or report.worker != owner:
        return State(STARTING)
    read = f"{report.done:,} of {report.total:,} records are read" if report.total else ""
    return State(report.state, report.since, "; ".join(text for text in (report.why, read) if text))


class ReportWriter:
    """Writes with a plain idempotent producer, from a thread that may wait. Used by one thread.

    A report that the broker does not take in time is dropped; whoever writes the next one says what is true then.
    """

    def __init__(self, clients: Clients, admin: Admin, prefix: str) -> None:
        self._clients, self._admin, self._topic = clients, admin, tasks_topic(prefix)
        self._producer: Producer | None = None
        self._failures: list[KafkaError] = []

    def write(self, reports: Mapping[str, Report], cancelled: Cancelled = never_cancelled) -> None:
        """Returns when the broker has all of them. Raises BrokerError, TopicMismatch without the topic; none arrives later then.

        Raises PartitionLost when cancelled.
        """
        producer = self._producer = self._producer or self._new(cancelled)
        try:
            self._send(producer, reports, cancelled)
        except (KafkaException, BufferError) as error:
            self.close()
            raise BrokerError(f"{self._topic} cannot be written to now: {error}") from error
        except BrokerError:
            self.close()  # a client that was not answered may never be again (rule 35)
            raise

    def _new(self, cancelled: Cancelled) -> Producer:
        found = describe(self._admin, [self._topic], cancelled=cancelled)
        if not found:  # a producer would have some brokers make it, with the settings of any topic
            raise TopicMismatch(f"the topic {self._topic} is missing: make it with `retold topics --create`")
        self._failures = failures = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        return self._clients.producer("retold-tasks", delivery=DELIVERY, on_delivery=delivered)

    def _send(self, producer: Producer, reports: Mapping[str, Report], cancelled: Cancelled) -> None:
        for key, report in reports.items():
            producer.produce(self._topic, msgspec.json.encode(report), key.encode())
        clock = self._clients.clock
        deadline = clock.monotonic() + DELIVERY + 1.0
        while (left := producer.flush(SLICE)) and clock.monotonic() < deadline:
            raise_if_cancelled(cancelled)
        causes = {error.str() for error in self._failures} | ({"the broker does not answer"} if left else set())
        if causes:
            raise BrokerError(f"{self._topic} cannot be written to now: {'; '.join(sorted(causes))}")

    def close(self) -> None:
        """What is not delivered yet is dropped."""
        if self._producer is not None:
            self._producer.purge(blocking=False)
            self._producer = None


class ReportReader:
    """Reads on from where it stood. Between two looks it holds no consumer. Used by one thread."""

    def __init__(self, clients: Clients, admin: Admin, prefix: str) -> None:
        self._clients, self._admin, self._topic = clients, admin, tasks_topic(prefix)
        self._next = 0
        self._last: dict[str, Report] = {}

    def read(self, timeout: float = 10.0, cancelled: Cancelled = never_cancelled) -> Mapping[str, Report] | None:
        """The last report of each partition; None if the topic is not there, or cannot be read in `timeout` s.

        Raises PartitionLost when cancelled. All else that is asked of Kafka is worth knowing without it.
        """
        try:
            # To ask for the end of a topic that is not there takes as long as one that has just been made may need.
            if not describe(self._admin, [self._topic], cancelled=cancelled):
                return None
            self._read_on(timeout, cancelled)
        except PartitionLost:
            raise
        except (BrokerError, KafkaException) as error:
            log.debug("the reports of workers are not known: %s", error)
            return None
        return dict(self._last)

    def _read_on(self, timeout: float, cancelled: Cancelled) -> None:
        at = self._topic, 0
        end = ends(self._admin, [at], timeout=timeout, cancelled=cancelled)[at]
        if end < self._next:  # the topic was deleted and made again
            self._next, self._last = 0, {}
        if end == self._next:
            return
        consumer = self._clients.consumer("retold-tasks")
        try:
            span, clock = {at: (self._next, end)}, self._clients.clock
            for message in read_to(consumer, span, timeout=timeout, cancelled=cancelled, clock=clock):
                if (report := _read(message)) is not None:
                    self._last[(message.key() or b"").decode("utf-8", "replace")] = report
        finally:
            consumer.close()
        self._next = end


def _read(message: Message) -> Report | None:
    """None for what no worker wrote. Lengths are bounded here too: whoever may write there may write anything."""
    try:
        report = msgspec.json.decode(message.value() or b"", type=Report)
    except msgspec.MsgspecError as error:
        log.debug("%s@%s is no report: %s", message.topic(), message.offset(), error)
        return None
    return msgspec.structs.replace(report, state=named(report.state), why=report_reason(report.why))
