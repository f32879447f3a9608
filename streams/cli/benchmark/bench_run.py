"""One run of `retold bench`: two windows, in topics of its own."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from itertools import count
from typing import NamedTuple

from streams.cli.benchmark.bench_site import (
    BenchWorker,
    Progress,
    namespaces_of,
    own_prefix,
    topics_of_its_own,
    with_prefix,
    worker_for,
)
from streams.cli.benchmark.random_events import RandomEvents
from streams.cli.benchmark.throughput import Throughput, ThroughputTrial
from streams.cli.benchmark.visibility import Visibility, VisibilityTrial
from streams.cli.output.progress import bar
from streams.cli.output.screen import talk
from streams.cli.process.session import Session
from streams.data import EventData, namespace_of
from streams.engine.attributes import attributes
from streams.prepared_event import PreparedEvent
from streams.prepared_publisher import PreparedPublisher

SOURCE = "retold-bench"


class BenchResult(NamedTuple):
    """What was measured. `handled` counts everything that the worker handled, by outcome.

    `followed`: how many events of the first window's came from others, in the same namespace.
    """

    throughput: Throughput
    followed: int
    visibility: Visibility
    handled: dict[str, int]
    load: float
    cores: int


class BenchRun:
    """One run for one event."""

    def __init__(self, session: Session, data: type[EventData], events: RandomEvents) -> None:
        self._session, self._data, self._events = session, data, events
        self._namespace = namespace_of(data.event_type)
        self._config = with_prefix(session.config, own_prefix(session.config))
        beginning = secrets.token_hex(4)
        self._ids = (f"{beginning}-0000-4000-8000-{number:012x}" for number in count())

    def go(self, lasting: float, rate: int) -> BenchResult:
        """Says first what it will do. `lasting`: s of each window.

        Raises BrokerError, TopicMismatch; NamespaceStopped if the worker ends, OutcomeTimeout if it does not go on.
        """
        session, config, namespace = self._session, self._config, self._namespace
        namespaces = namespaces_of(session.app, namespace)
        talk(
            f"On {session.clients.address}: topics of its own are made, whose names begin with {config.prefix}, and deleted at the "
            f"end. One worker of {namespace} runs here, for about {2.25 * lasting + 15:.0f} s, or longer if "
            "its handlers are slow. Your topics are neither read nor written."
        )
        with ExitStack() as stack:
            stack.enter_context(topics_of_its_own(session.clients, config, namespaces))
            publisher = stack.enter_context(PreparedPublisher(session.app, session.codec, config, SOURCE))
            worker = stack.enter_context(worker_for(session.clients, config, namespace))
            progress = Progress(session.clients, config, namespace, session.codec)
            stack.callback(progress.close)
            return self._measured(publisher, worker, progress, lasting, rate)

    def _measured(
        self, publisher: PreparedPublisher, worker: BenchWorker, progress: Progress, lasting: float, rate: int
    ) -> BenchResult:
        session = self._session
        with bar("handling", None) as advance:
            trial = ThroughputTrial(worker, progress, lambda: self._publish(publisher), advance)
            throughput = trial.run(lasting)
            publisher.flush()
            load = os.getloadavg()[0]
            trial.drain()
        followed = sum(_handled(progress).values()) - trial.published
        with bar(f"{rate:,} a second", int(rate * lasting)) as advance:
            follower = VisibilityTrial(session.clients, self._config, self._namespace)
            visibility = follower.run(rate, lasting, lambda: self._publish(publisher), worker.checked(advance))
        return BenchResult(throughput, followed, visibility, _handled(progress), load, os.cpu_count() or 1)

    def _publish(self, publisher: PreparedPublisher) -> str:
        key, value = self._events.next()
        name = next(self._ids)
        publisher.publish(PreparedEvent(self._data, key, name, value, attributes(name, SOURCE, None)))
        return name


def _handled(progress: Progress) -> dict[str, int]:
    """How many so far, by outcome."""
    now = progress.status()
    counters = now.counters
    return {
        "accepted": counters.accepted, "rejected": counters.rejected, "parked": now.parked, "quarantined": now.quarantined,
    }  # fmt: skip
