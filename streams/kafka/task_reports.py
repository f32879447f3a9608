"""Workers' reports on their partitions' states: the last report of each, in a topic of its own, for monitoring.

Key: `user-3`; `user` for the end of a whole namespace by an error; `user` and a worker's id, with a blank between, for the copies
that it keeps. Value: JSON, a `Report`; a record without one deletes the report. Reports are for monitoring only: no decision
depends on one, and no event waits for one. A reader must compare the report's worker with the partition's owner, since a killed
worker leaves its last reports behind (`state_of`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.engine.readable import harmless, named
from streams.errors import UNREADABLE_JSON, BrokerError, PartitionLost, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topic_contents import read_spans
from streams.kafka.topics import SHARED_PARTITION, describe, tasks_topic

log = logging.getLogger("retold.tasks")

REASON_SHOWN = 500
"""The most characters of a reason in a report."""
TRACE_SHOWN = 8_000
"""The most characters of a traceback in a report."""
DELIVERY, SLICE = 5.0, 0.1
"""s after which an undelivered report is dropped, and between two checks for cancellation."""
RESTORING, RUNNING, BLOCKED = "restoring", "running", "blocked"
ENDED, WAITS = "ended", "waits"
"""The state of a namespace whose worker ended it, by an error; and of one that waits in a worker until its rows are built."""
STARTING, NO_WORKER = "starting", "no worker"
"""The state of a partition whose owner has not reported yet, and of one without an owner."""
LAST = "the last was "
"""Before the name of the worker that had a partition without one."""
STANDBY, WARMING = "standby", "warming up"
"""The state of a worker's copies, once it is in its group, and before."""
ALIVE = 30_000_000
"""µs for which a report of copies counts: its worker writes it again every 10 s."""
FORGOTTEN = 24 * 3600 * 1_000_000
"""µs after which a report of copies is deleted, whoever wrote it: its worker is gone."""
COPIES_SHOWN = 1_000
STATES = (RESTORING, RUNNING, BLOCKED, STARTING, NO_WORKER)

Micros = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]
"""µs since 1970, up to the year 9999."""


class CopyReport(NamedTuple):
    """A copy of a partition: `done` of `total` offsets are read; `ready`: it is up to date."""

    partition: int
    ready: bool
    done: int
    total: int


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """`worker` is the sender's client id in the group, which is its transactional id too.

    `since` is when the partition entered this `state`. During a restore `done` of `total` records are read, and the rest will
    take about `left` s, if that is known. A report of `copies` holds for some time from `since` on.
    """

    state: str
    since: Micros
    worker: str
    why: str = ""
    done: int = 0
    total: int = 0
    trace: str = ""
    """Lines: the traceback behind `why`."""
    cause: str = ""
    """Of a blocked partition, as in `streams.engine.records`; empty from a worker that did not report it yet."""
    left: int = 0
    copies: list[CopyReport] = []


class ReadReport(Report, frozen=True):
    """A report as it was read; `written` in µs since 1970: its worker writes it again and again."""

    written: int = 0


class State(NamedTuple):
    """A partition's state, since when (µs since 1970) and why, in words and by cause, as far as it is known."""

    name: str | None = None
    since: int | None = None
    why: str = ""
    cause: str = ""


def key_of(namespace: str, partition: int) -> str:
    return f"{namespace}-{partition}"


def report_reason(text: str) -> str:
    """A reason for a report: on one line, without control characters, and of limited length."""
    whole = harmless(" ".join(text.split()))
    return whole if len(whole) <= REASON_SHOWN else f"{whole[: REASON_SHOWN - 1]}…"


def state_of(reports: Mapping[str, Report] | None, key: str, owner: str | None) -> State:
    """The state of one partition: its report counts if the partition's owner wrote it. `reports` is None if they are unknown.

    Without an owner, it names the worker that was the last: its process may be there, stopped or out of its group.
    """
    report = None if reports is None else reports.get(key)
    if owner is None:
        return State(NO_WORKER, why=f"{LAST}{named(report.worker)}" if report is not None else "")
    if reports is None:
        return State()
    if report is None or report.worker != owner:
        return State(STARTING)
    read = f"{report.done:,} of {report.total:,} records are read" if report.total else ""
    read += f", about {report.left:,} s left" if report.left else ""
    return State(report.state, report.since, "; ".join(text for text in (report.why, read) if text), report.cause)


def copies_key(namespace: str, worker: str) -> str:
    return f"{namespace} {worker}"


def copies_of(reports: Mapping[str, Report] | None, namespace: str, now: int) -> list[Report]:
    """The workers that keep copies of partitions of this namespace. `now` in µs since 1970."""
    found = [it for key, it in (reports or {}).items() if key == copies_key(namespace, it.worker)]
    return sorted((it for it in found if abs(now - it.since) <= ALIVE), key=lambda it: it.worker)


def forgotten(reports: Mapping[str, Report] | None, namespace: str, now: int) -> dict[str, None]:
    """The keys of reports of copies that nobody writes any more. `now` in µs since 1970."""
    theirs = {key: it for key, it in (reports or {}).items() if key == copies_key(namespace, it.worker)}
    return {key: None for key, it in theirs.items() if now - it.since > FORGOTTEN}


def end_of(namespace: str, worker: str, since: int, text: str, state: str = ENDED) -> dict[str, Report]:
    """The report that `worker` ended a namespace. The first line of `text` is the reason, the others are a traceback."""
    sentence, _, lines = text.strip().partition("\n")
    return {namespace: Report(state, since, worker, report_reason(sentence), trace=_report_trace(lines))}


def ended(
    reports: Mapping[str, Report] | None, namespace: str, owners: Sequence[str | None]
) -> Report | None:
    """The report that a namespace was ended, or waits, if that is still so. `owners` by partition; none while the inbox is missing.

    It is over for a partition that has been reported as running or blocked since then, or that another worker runs. A worker writes
    its reports again and again, so one of the same name that ended this one, and has run all along, is seen after a minute.
    """
    end = None if reports is None else reports.get(namespace)
    if reports is None or end is None or end.state not in (ENDED, WAITS):
        return None
    last = [reports.get(key_of(namespace, number)) for number in range(len(owners))]
    over = bool(last) and all(_works_since(end, report, owner) for report, owner in zip(last, owners, strict=True))
    return None if over else end


def _works_since(end: Report, last: Report | None, owner: str | None) -> bool:
    if last is None or last.state not in (RUNNING, BLOCKED):
        return False
    return _last_said(last) > end.since or (last.worker == owner and owner != end.worker)


def _last_said(report: Report) -> int:
    return max(report.since, report.written) if isinstance(report, ReadReport) else report.since


def _report_trace(lines: str) -> str:
    return harmless(lines[-TRACE_SHOWN:])[-TRACE_SHOWN:]


class ReportWriter:
    """Writes with an idempotent producer, in a thread that may block. Used by one thread.

    A report that is not delivered in time is dropped; the next one has the state at its time.
    """

    def __init__(self, clients: Clients, admin: Admin, prefix: str) -> None:
        self._clients, self._admin, self._topic = clients, admin, tasks_topic(prefix)
        self._producer: Producer | None = None
        self._failures: list[KafkaError] = []

    def write(self, reports: Mapping[str, Report | None], cancelled: Cancelled = never_cancelled) -> None:
        """Returns when the broker has all of them. None deletes a report. Raises TopicMismatch if the topic is missing.

        Raises BrokerError if some are not delivered: what is not on its way by then never is. Raises PartitionLost when cancelled:
        the others are still sent until `close`, so that what a worker says last may arrive.
        """
        producer = self._producer = self._producer or self._new(cancelled)
        try:
            self._send(producer, reports, cancelled)
        except (KafkaException, BufferError) as error:
            self.close()
            raise BrokerError(f"{self._topic} cannot be written to now: {error}") from error
        except BrokerError:
            self.close()  # a client that got no answer may never get one (rule 35)
            raise

    def _new(self, cancelled: Cancelled) -> Producer:
        found = describe(self._admin, [self._topic], cancelled=cancelled)
        if not found:  # some brokers would create it for a producer, with default settings
            raise TopicMismatch(f"the topic {self._topic} is missing: make it with `retold topics --create`")
        self._failures = failures = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        return self._clients.producer("retold-tasks", delivery=DELIVERY, on_delivery=delivered)

    def _send(self, producer: Producer, reports: Mapping[str, Report | None], cancelled: Cancelled) -> None:
        for key, report in reports.items():
            value = None if report is None else msgspec.json.encode(report)
            producer.produce(self._topic, value, key.encode(), SHARED_PARTITION)
        clock = self._clients.clock
        deadline = clock.monotonic() + DELIVERY + 1.0
        while (left := producer.flush(SLICE)) and clock.monotonic() < deadline:
            raise_if_cancelled(cancelled)
        causes = {error.str() for error in self._failures} | ({"the broker does not answer"} if left else set())
        if causes:
            raise BrokerError(f"{self._topic} cannot be written to now: {'; '.join(sorted(causes))}")

    def close(self) -> None:
        """Close the producer. Undelivered reports are dropped."""
        if self._producer is not None:
            self._producer.purge(blocking=False)
            self._producer = None


class ReportReader:
    """Reads the topic, each time from where it stopped. Between two calls it holds no consumer. Used by one thread."""

    def __init__(self, clients: Clients, admin: Admin, prefix: str) -> None:
        self._clients, self._admin, self._topic = clients, admin, tasks_topic(prefix)
        self._id, self._next = "", 0
        self._last: dict[str, Report] = {}

    def read(self, timeout: float = 10.0, cancelled: Cancelled = never_cancelled) -> Mapping[str, Report] | None:
        """The last report of each partition; None if the topic is missing, or cannot be read in `timeout` s.

        Raises PartitionLost when cancelled. Other errors are not raised: the rest of a status is useful without reports.
        """
        try:
            # Asking for the end of a missing topic takes the whole timeout, since it may just have been created.
            found = describe(self._admin, [self._topic], cancelled=cancelled)
            if self._topic not in found:
                return None
            if found[self._topic].id != self._id:  # the topic is read for the first time, or was made again
                self._id, self._next, self._last = found[self._topic].id, 0, {}
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
        span = {at: (self._next, end)}
        for message in read_spans(self._clients, "retold-tasks", span, timeout=timeout, cancelled=cancelled):
            key = (message.key() or b"").decode("utf-8", "replace")
            if message.value() is None:
                self._last.pop(key, None)
            elif (report := _read(message)) is not None:
                self._last[key] = report
        self._next = max(end, self._next)


def _read(message: Message) -> ReadReport | None:
    """A report; None if no worker wrote it. Lengths are limited here too, since other programs may write there."""
    try:
        report = msgspec.json.decode(message.value() or b"", type=Report)
    except UNREADABLE_JSON as error:
        log.debug("%s@%s is no report: %s", message.topic(), message.offset(), error)
        return None
    bounded = msgspec.structs.replace(
        report,
        state=named(report.state),
        why=report_reason(report.why),
        trace=_report_trace(report.trace),
        cause=named(report.cause),
        copies=report.copies[:COPIES_SHOWN],
    )
    return ReadReport(**msgspec.structs.asdict(bounded), written=max(0, message.timestamp()[1] * 1_000))
