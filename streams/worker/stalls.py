"""Background check: whether an open transaction blocks what this worker reads, and whose it is (rule 33).

A read_committed consumer stops before such a transaction without any notice, and so does a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaException

from streams.engine.readable import harmless
from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled, Steps, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.offsets import OpenSpan, TopicAndPartition, group_offsets_partition, held_up
from streams.kafka.open_transactions import OpenTransaction, concerns, open_transactions, sentence, worker_ids
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicNames, group_of
from streams.worker.tasks import Tasks

log = structlog.get_logger("retold.worker")

CHECK_EVERY = 2.5
"""s between two checks."""
STILL_SECONDS = 10.0
"""How long the last stable offset stands still before it is reported. With the time to find its producer, the first report comes
within 15 s if the broker answers."""
GROUP_OFFSETS_STILL_SECONDS = 5.0
"""The same for the group's offsets: shorter, as a restore has waited for 4 s by then."""
REPORT_AGAIN_AFTER = 60.0
TIMEOUT = 5.0


@dataclass
class Stall:
    """A last stable offset that stands still. `since`, and `asked` (when its producer was last asked for): monotonic clock."""

    offset: int
    since: float
    asked: float | None = None
    reported: bool = False


class StallTracker:
    """The stalls of partitions of one kind. `still`: s that an offset must stand still to be a stall."""

    def __init__(self, still: float) -> None:
        self._still = still
        self._stalls: dict[TopicAndPartition, Stall] = {}

    def over(
        self, partitions: Sequence[TopicAndPartition], held: Mapping[TopicAndPartition, OpenSpan]
    ) -> dict[TopicAndPartition, Stall]:
        """Reported stalls that have ended, in partitions that are still ours. All ended stalls are removed."""
        gone = {at: it for at, it in self._stalls.items() if at not in held or held[at].offset != it.offset}
        for partition in gone:
            del self._stalls[partition]
        return {partition: stall for partition, stall in gone.items() if stall.reported and partition in partitions}

    def due(self, held: Mapping[TopicAndPartition, OpenSpan], now: float) -> dict[TopicAndPartition, Stall]:
        """The stalls to look into now: each again after `REPORT_AGAIN_AFTER` s, whatever was found."""
        for partition, it in held.items():
            self._stalls.setdefault(partition, Stall(it.offset, now))
        return {partition: stall for partition, stall in self._stalls.items() if self._is_due(stall, now)}

    def _is_due(self, stall: Stall, now: float) -> bool:
        return now - stall.since >= self._still if stall.asked is None else now - stall.asked >= REPORT_AGAIN_AFTER


@dataclass(frozen=True)
class StallContext:
    """The partitions that a worker of one namespace reads. `application` is part of its workers' transactional ids."""

    topics: TopicNames
    tasks: Tasks
    admin: Admin
    prefix: str
    application: str

    def partitions(self) -> list[TopicAndPartition]:
        """Our partitions of each topic."""
        return [(topic, number) for topic in self.topics[1:] for number in self.tasks.partitions()]

    def offsets(self) -> list[TopicAndPartition]:
        """The partition of the group's committed offsets, if a restore waits for them. Raises KafkaException."""
        if not self.tasks.held:
            return []
        kept = group_offsets_partition(self.admin, group_of(self.prefix, self.topics.namespace), timeout=TIMEOUT)
        return [] if kept is None else [kept]

    @property
    def workers(self) -> str:
        return worker_ids(self.prefix, self.application, self.topics.namespace)


class Stalls:
    """Watches one namespace in the background, until it is cancelled."""

    def __init__(self, clients: Clients, reads: StallContext) -> None:
        self._clients, self._reads, self._admin = clients, reads, reads.admin
        self._partitions, self._offsets = StallTracker(STILL_SECONDS), StallTracker(GROUP_OFFSETS_STILL_SECONDS)
        self._cancelled: Cancelled = never_cancelled

    def watch(self, cancelled: Cancelled) -> Steps[None]:
        """Check until cancelled. A request in flight at that time is not reported."""
        self._cancelled = cancelled
        failed = FailureLog(self._log)
        while not cancelled():
            yield CHECK_EVERY
            # Separately: the group's offsets may be on an unavailable broker, and our partitions on another.
            failed.run(lambda: self._look(self._partitions, self._reads.partitions()), "our partitions")
            failed.run(lambda: self._look(self._offsets, self._reads.offsets()), "the group's offsets")

    def _look(self, watch: StallTracker, partitions: Sequence[TopicAndPartition]) -> None:
        held = held_up(self._admin, partitions, timeout=TIMEOUT)
        now = self._clients.clock.monotonic()
        for (topic, partition), stall in watch.over(partitions, held).items():
            ended = f"the transaction at offset {stall.offset} has ended"
            self._log("warning", f"{topic}-{partition} is readable again: {ended}.")
        if due := watch.due(held, now):
            self._report(due, now)

    def _report(self, due: dict[TopicAndPartition, Stall], now: float) -> None:
        found = open_transactions(self._clients, self._admin, list(due))
        for stall in due.values():
            stall.asked = now
        for it in to_report(found, self._reads.workers):
            due[it.topic_partition].reported = True
            self._log("warning", sentence(it, self._clients.address, self._reads.prefix))

    def _log(self, level: str, text: str) -> None:
        if not self._cancelled():
            getattr(log, level)("open transaction", namespace=self._reads.topics.namespace, detail=text)


def to_report(found: Sequence[OpenTransaction], workers: str) -> list[OpenTransaction]:
    """The first open transaction of each partition: everything behind it waits for it.

    Among the group's offsets, the first one of our workers; if there is none, another program's blocks our restore.
    """
    chosen: dict[TopicAndPartition, OpenTransaction] = {}
    for it in sorted(found, key=lambda it: not concerns(it, (workers,))):
        chosen.setdefault(it.topic_partition, it)
    return list(chosen.values())


class FailureLog:
    """Logs what a check raises, so that it ends that check alone. `say` gets a level and a sentence, once for repeated ones."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self._last: dict[str, str] = {}

    def run(self, look: Callable[[], None], where: str) -> None:
        try:
            look()
        except (BrokerError, KafkaException) as error:  # the readers get this error too
            self._say("debug", f"whether a transaction is open in {where} could not be asked: {harmless(str(error))}")
        except Exception as error:  # noqa: BLE001 - an ended thread would check no more, without any notice
            text = f"whether a transaction is open in {where} is not known: {type(error).__name__}: {harmless(str(error))}"
            if self._last.get(where) != text:
                self._say("warning", f"{text}. It is asked again every {CHECK_EVERY:g} s; this is said once")
            self._last[where] = text
        else:
            self._last.pop(where, None)
