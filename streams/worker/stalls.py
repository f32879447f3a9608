"""A look beside the work: whether an open transaction holds up what this worker reads, and whose it is (rule 33).

Kafka's reader stops before such a transaction and says nothing, and neither does a restore that waits.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaException

from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.fresh import Admin
from streams.kafka.offsets import GROUPS, Place, ends, group_place, stable_ends
from streams.kafka.open_transactions import OpenTransaction, open_transactions, sentence
from streams.kafka.topics import Names, group_of
from streams.worker.tasks import Tasks

log = structlog.get_logger("retold.worker")

EVERY, STILL, AGAIN = 2.5, 10.0, 60.0
"""s between two looks; for which a stable offset stands still before that is told; after which it is told again.

Together with asking whose it is, the first word comes within 15 s.
"""
PATIENCE = 5.0


@dataclass
class _Stall:
    """`since` and `told` by the monotonic clock."""

    offset: int
    since: float
    told: float | None = None


@dataclass(frozen=True)
class Reads:
    """What a worker of one namespace reads now. `application` is part of its workers' transactional ids."""

    topics: Names
    tasks: Tasks
    admin: Admin
    prefix: str
    application: str

    def places(self) -> list[Place]:
        """Where an open transaction would be in our way: in the partitions that are ours, and among the group's offsets."""
        mine = [(topic, number) for topic in self.topics[1:] for number in self.tasks.partitions()]
        kept = self._kept() if self.tasks.held else None
        return mine if kept is None else [*mine, kept]

    def concerns(self, it: OpenTransaction) -> bool:
        """Other groups have their offsets beside ours; ours are sent by workers of this namespace alone."""
        ours = f"{self.prefix}retold.{self.application}.{self.topics.namespace}."
        return it.topic != GROUPS or it.transactional_id is None or it.transactional_id.startswith(ours)

    def _kept(self) -> Place | None:
        return group_place(self.admin, group_of(self.prefix, self.topics.namespace), timeout=PATIENCE)


class Stalls:
    """Of one namespace, in a thread of its own, which ends with the process at the latest."""

    def __init__(self, clients: Clients, reads: Reads) -> None:
        self._clients, self._reads, self._admin = clients, reads, reads.admin
        self._held: dict[Place, _Stall] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stalls-{reads.topics.namespace}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; a question that is on its way has no answer that anyone waits for."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._look()
            except (BrokerError, KafkaException) as error:  # who reads will hear of it, too
                self._log("debug", f"whether a transaction is open could not be asked: {error}")

    def _look(self) -> None:
        places = self._reads.places()
        # The ends first: what is stable later, and less, is held up, and not just younger.
        end = ends(self._admin, places, timeout=PATIENCE)
        stable = stable_ends(self._admin, places, timeout=PATIENCE)
        now = time.monotonic()
        held = {place: stable[place] for place in places if stable[place] < end[place]}
        for place in [place for place, stall in self._held.items() if held.get(place) != stall.offset]:
            stall = self._held.pop(place)
            if stall.told is not None and place in stable:
                topic, partition = place
                self._log("warning", f"{topic}-{partition} goes on: the transaction at offset {stall.offset} has ended.")
        for place, offset in held.items():
            self._held.setdefault(place, _Stall(offset, now))
        if due := {place: stall for place, stall in self._held.items() if _is_due(stall, now)}:
            self._tell(due, now)

    def _tell(self, due: dict[Place, _Stall], now: float) -> None:
        """The first of each place: what is behind it waits for it, whatever that is."""
        told: set[Place] = set()
        for it in open_transactions(self._clients, self._admin, list(due)):
            if it.place not in told and self._reads.concerns(it):
                told.add(it.place)
                due[it.place].told = now
                self._log("warning", sentence(it, self._clients.address, self._reads.prefix))

    def _log(self, level: str, text: str) -> None:
        if not self._ended.is_set():
            getattr(log, level)("an open transaction", namespace=self._reads.topics.namespace, detail=text)


def _is_due(stall: _Stall, now: float) -> bool:
    return now - stall.since >= STILL if stall.told is None else now - stall.told >= AGAIN
