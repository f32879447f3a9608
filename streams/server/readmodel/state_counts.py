"""How many partitions are in which state, updated now and then, so that no answer waits for Kafka."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import KafkaException

from streams.errors import StreamsError
from streams.history.recorded_event import NamespacePartition
from streams.kafka.cancellable_steps import Cancelled
from streams.kafka.clients import Clients
from streams.kafka.owners import owners
from streams.kafka.task_reports import STATES, ReportReader, ended, key_of, state_of
from streams.kafka.topics import topic_names

log = logging.getLogger("retold.server")

EVERY = 5.0
"""s between two updates."""
UNKNOWN = "unknown"
"""The state of a partition with an owner if the reports cannot be read, or if it is one that this version does not know."""


class StateCounts:
    """`counts` by namespace and state, as of the last update; empty while the states are not known.

    `ended` has the namespaces that a worker ended by an error, and why.

    One thread writes, all others read.
    """

    def __init__(self) -> None:
        self.counts: Mapping[tuple[str, str], int] = {}
        self.ended: Mapping[str, str] = {}


def counted(found: Mapping[NamespacePartition, str | None]) -> dict[tuple[str, str], int]:
    """Counts by namespace and state, including zeros, so that a metric goes down to 0 and does not vanish."""
    counts = {(space, state): 0 for space, _ in found for state in (*STATES, UNKNOWN)}
    for (space, _), state in found.items():
        counts[space, state if state in STATES else UNKNOWN] += 1
    return counts


class StateObserver:
    """Writes into `states` until `stopped`. `partitions` returns the existing partitions, as far as they are known."""

    def __init__(
        self, clients: Clients, prefix: str, partitions: Callable[[], Sequence[NamespacePartition]], states: StateCounts
    ) -> None:
        self._prefix, self._partitions, self._states = prefix, partitions, states
        self._admin = clients.admin("retold-server")
        self._reports = ReportReader(clients, self._admin, prefix)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self._look(self._partitions(), stopped.is_set)
            except (StreamsError, KafkaException) as error:
                self._states.counts = {}
                log.debug("the states of partitions are not known: %s", error)
            except BaseException:  # as `TopicFollower.run`
                self._states.counts = {}
                log.exception("reading the states of partitions failed; retrying")
            stopped.wait(EVERY)

    def _look(self, partitions: Collection[NamespacePartition], cancelled: Cancelled) -> None:
        spaces = {space: topic_names(self._prefix, space).inbox for space, _ in partitions}
        held = owners(self._admin, self._prefix, spaces, cancelled=cancelled)
        # After the owners: a new owner may have reported by now.
        reports = self._reports.read(cancelled=cancelled)
        found = {(space, number): held.get((spaces[space], number)) for space, number in sorted(partitions)}
        self._states.counts = counted(
            {(space, number): state_of(reports, key_of(space, number), owner).name for (space, number), owner in found.items()}
        )
        if reports is not None:  # while they cannot be had, what ended has still ended
            ends = {space: ended(reports, space, [it for (of, _), it in found.items() if of == space]) for space in spaces}
            self._states.ended = {space: end.why for space, end in ends.items() if end is not None}
