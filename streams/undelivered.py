"""What Kafka's client has given up of a publisher's events: each thread hears of its own, and whoever waits for all of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock, Thread, current_thread
from typing import NamedTuple

from confluent_kafka import KafkaError

from streams.prepared_event import PreparedEvent
from streams.receipt import Receipt

KEPT = 1_000
"""Failures of threads that have ended that are kept; of more it is only known how many."""


@dataclass(eq=False)
class Failure:
    """`is_told`: somebody has waited for all events, and heard of it."""

    event: Receipt | PreparedEvent
    error: KafkaError
    is_told: bool = False


class Failures(NamedTuple):
    """How many there are, and the first of them; None if there is none."""

    number: int
    first: Failure | None


class Undelivered:
    """Several threads may share it. Its length is how many there are of which nobody has heard."""

    def __init__(self) -> None:
        self._by: dict[Thread, list[Failure]] = {}
        self._ended: list[Failure] = []
        """Of threads that have ended, and of which nobody has heard."""
        self._more = 0
        """How many there are beyond those that are kept."""
        self._lock = RLock()  # a signal's handler may publish, too

    def __len__(self) -> int:
        with self._lock:
            running = sum(not failure.is_told for failures in self._by.values() for failure in failures)
            return running + len(self._ended) + self._more

    def add(self, publisher: Thread, failure: Failure) -> None:
        with self._lock:
            self._by.setdefault(publisher, []).append(failure)
            self._leave_ended()

    def of_this_thread(self) -> Failures:
        """What it has published, and has not heard of. It is not given again."""
        if not self._by:  # as nearly always, and every event passes here
            return NOTHING
        with self._lock:
            return _failures(self._by.pop(current_thread(), []))

    def of_all(self) -> Failures:
        """Those of this thread, and what nobody has heard of. Its own thread does so later, if it still runs."""
        with self._lock:
            mine = self._by.pop(current_thread(), [])
            self._leave_ended()
            others = [failure for failures in self._by.values() for failure in failures if not failure.is_told]
            for failure in others:
                failure.is_told = True
            found = _failures([*mine, *others, *self._ended], self._more)
            self._ended, self._more = [], 0
        return found

    def forget(self, event: Receipt) -> None:
        """Somebody has heard of this one by itself."""
        with self._lock:
            left = {thread: [it for it in failures if it.event is not event] for thread, failures in self._by.items()}
            self._by = {thread: failures for thread, failures in left.items() if failures}
            self._ended = [it for it in self._ended if it.event is not event]

    def _leave_ended(self) -> None:
        """A thread that has ended hears of nothing any more: what is known of its events is kept for who waits for all."""
        for thread in [it for it in self._by if not it.is_alive()]:
            self._ended += [failure for failure in self._by.pop(thread) if not failure.is_told]
        self._more += len(self._ended[KEPT:])
        del self._ended[KEPT:]


NOTHING = Failures(0, None)


def _failures(found: Sequence[Failure], more: int = 0) -> Failures:
    return Failures(len(found) + more, found[0]) if found else NOTHING
