"""What Kafka's client has given up of a publisher's events: each thread hears of its own, and whoever waits for all of all."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock, Thread, current_thread

from confluent_kafka import KafkaError

from streams.prepared_event import PreparedEvent
from streams.receipt import Receipt


@dataclass(eq=False)
class Failure:
    """`is_told`: somebody has waited for all events, and heard of it."""

    event: Receipt | PreparedEvent
    error: KafkaError
    is_told: bool = False


class Undelivered:
    """Several threads may share it. Its length is how many there are of which nobody has heard."""

    def __init__(self) -> None:
        self._by: dict[Thread, list[Failure]] = {}
        self._lock = RLock()  # a signal's handler may publish, too

    def __len__(self) -> int:
        with self._lock:
            return sum(not failure.is_told for failures in self._by.values() for failure in failures)

    def add(self, publisher: Thread, failure: Failure) -> None:
        with self._lock:
            self._by.setdefault(publisher, []).append(failure)

    def of_this_thread(self) -> list[Failure]:
        """What it has published, and has not heard of. It is not given again."""
        if not self._by:  # as nearly always, and every event passes here
            return []
        with self._lock:
            return self._by.pop(current_thread(), [])

    def of_all(self) -> list[Failure]:
        """Those of this thread, and what nobody has heard of. Its own thread does so later, if it still runs."""
        with self._lock:
            mine = self._by.pop(current_thread(), [])
            others = [failure for failures in self._by.values() for failure in failures if not failure.is_told]
            for failure in others:
                failure.is_told = True
            self._by = {thread: failures for thread, failures in self._by.items() if thread.is_alive()}
        return [*mine, *others]

    def forget(self, event: Receipt) -> None:
        """Somebody has heard of this one by itself."""
        with self._lock:
            left = {thread: [it for it in failures if it.event is not event] for thread, failures in self._by.items()}
            self._by = {thread: failures for thread, failures in left.items() if failures}

    def clear(self) -> None:
        self._by = {}
