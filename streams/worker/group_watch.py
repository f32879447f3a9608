"""Notices that a worker stays out of its consumer group though it polls and the broker answers: its consumer is then replaced.

Seen with librdkafka 2.16: after restarts of its broker a consumer polled on and did not join again, without any error. One cause is
known, and mended (`streams.kafka.clients` `TOPIC_ASKED`); this is for others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import structlog
from confluent_kafka import KafkaException

from streams.clock import Clock
from streams.engine.readable import harmless
from streams.errors import BrokerError, NamespaceStopped
from streams.kafka.cancellable_steps import Cancelled, Steps

log = structlog.get_logger("retold.worker")

OUT = 60.0
"""s out of the group after which the consumer is replaced: as long as a member may take for a rebalance."""
LONGEST = 600.0
"""s that follow replacements in a row wait for at most."""
SOON, LATER = 10.0, 60.0
"""s between two looks: while the worker has no partition or is out of the group, and else."""
ASKED = 5.0
"""s that one look may take."""
REPLACED = 30.0
"""s that a replacement may take. Then the namespace is ended: a call of the client does not return."""

Members = Callable[[Cancelled], Collection[str]]
"""The client ids of the members of the group. Raises BrokerError or KafkaException if they are not known now."""


class GroupWatch:
    """`worker` is the client id of this worker in `group`; `owns` tells whether it has any partition.

    A member that waits for others in a rebalance is listed. The worker counts as out only while it polls, and while each look
    gets an answer. A broker that never listed it is believed only if it has no partition: a broker may hide members.
    """

    def __init__(self, namespace: str, group: str, worker: str, members: Members, owns: Callable[[], bool], clock: Clock) -> None:
        self._namespace, self._group, self._worker = namespace, group, worker
        self._members, self._owns, self._clock = members, owns, clock
        self._polled = self._listed_once = False
        self._since: float | None = None
        self._closing: float | None = None
        self._looked = 0.0
        self._patience = OUT
        self.is_out = False
        """Whether the consumer is to be replaced."""

    def polled(self) -> None:
        """The consumer was polled. In the namespace's thread."""
        self._polled = True

    @contextmanager
    def replacement(self) -> Iterator[None]:
        """While the consumer is closed, so that another one can join. In the namespace's thread."""
        self._closing = self._clock.monotonic()
        yield
        self._since, self._closing, self.is_out = None, None, False

    def watch(self, abandon: Callable[[BaseException], None], cancelled: Cancelled) -> Steps[None]:
        """Look until cancelled. `abandon` ends the namespace if the consumer is not replaced in time."""
        while not cancelled():
            near = self._since is not None or not self._owns()
            yield SOON if near else LATER
            if not self.is_out:
                self._look(cancelled)
            elif self._closing is not None and self._clock.monotonic() - self._closing >= REPLACED:
                abandon(
                    NamespaceStopped(
                        f"the consumer of the group {self._group} stayed out of it, and could not be closed in {REPLACED:g} s. "
                        "Start the worker again"
                    )
                )
                return

    def _look(self, cancelled: Cancelled) -> None:
        now, before = self._clock.monotonic(), self._looked
        polled, self._polled, self._looked = self._polled, False, now
        try:
            is_listed = self._worker in self._members(cancelled)
        except (BrokerError, KafkaException) as error:
            self._since = None
            log.debug("the members of a group are not known", namespace=self._namespace, detail=harmless(str(error)))
            return
        if is_listed:
            self._listed_once, self._since, self._patience = True, None, OUT
        elif not polled or not (self._listed_once or not self._owns()):
            self._since = None
        elif self._since is None or now - before > SOON + 2 * ASKED:  # or this process stood still meanwhile
            self._since = now
        elif now - self._since >= self._patience:
            self._say(now - self._since)
            self._patience, self.is_out = min(2 * self._patience, LONGEST), True

    def _say(self, seconds: float) -> None:
        log.error(
            "worker is not in its group",
            namespace=self._namespace,
            detail=f"{self._worker} has not been a member of the group {self._group} for {seconds:.0f} s, though it polls and the "
            "broker answers. Its consumer is closed, and a new one joins the group",
        )
