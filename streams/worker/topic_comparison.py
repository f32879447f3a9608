"""Compares topics with what they were when the worker started, beside the work (rules 14 and 34).

A topic that is deleted and made again has the same name, and another record at each offset; in a topic with more partitions
keys move. Kafka's clients report neither, and a worker would go on at its old offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import structlog
from confluent_kafka import KafkaException

from streams.engine.readable import harmless
from streams.errors import BrokerError, BrokerUnavailable, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, Steps, never_cancelled
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicInfo, TopicNames, after_recreation, after_repartition, describe
from streams.worker.runtime import Flag

log = structlog.get_logger("retold.worker")

EVERY, FRESH, GONE = 2.0, 5.0, 10.0
"""s between two comparisons; for which the last good one allows commits; after which a topic that is not there is missed.

A broker that starts may not know its topics for a moment.
"""
TIMEOUT = 5.0
SOON = 0.1


class TopicComparison:
    """`topics` as they were at `began` (monotonic): this namespace's, and the inboxes that it emits into (`targets`).

    A target that is another application's may be made later; it is compared from then on.

    `too_small` says which of them takes smaller records than it should, and `moved` where a broker that does not answer is now.

    `watch` runs in the background; the namespace's thread calls `check` and asks `fresh` before it commits.
    """

    def __init__(
        self, names: TopicNames, targets: Collection[str], topics: Mapping[str, TopicInfo], admin: Admin, began: float,
        too_small: Callable[[], str], moved: Callable[[], str],
    ) -> None:  # fmt: skip
        self._too_small, self._moved = too_small, moved
        self._names, self._topics, self._admin, self._clock = names, dict(topics), admin, admin.clock
        self._asked = sorted({*names[1:], *targets})
        self._good = began
        """When the last good comparison began."""
        self._missing: dict[str, float] = {}
        """Since when topics are not there, by their names."""
        self._problem = self._gone = ""
        self._said = False

    @property
    def fresh(self) -> bool:
        """Whether the last good comparison is recent enough to commit."""
        return self._clock.monotonic() - self._good <= FRESH

    def wait_until_fresh(self, seconds: float, stopping: Flag) -> bool:
        """Whether topics were compared lately; waits up to `seconds` for it. Raises TopicMismatch for a difference (rule 34).

        While the broker does not answer a comparison, polling goes on, so that the worker stays in its group.
        """
        until = self._clock.monotonic() + seconds
        while not self.fresh and self._clock.monotonic() < until and not stopping.is_set():
            self._clock.sleep(0.05)
        self.check()
        return self.fresh

    def check(self) -> None:
        """Raises TopicMismatch once a comparison found a difference, and BrokerUnavailable once the broker is elsewhere."""
        if self._gone:
            raise BrokerUnavailable(self._gone)
        if self._problem:
            raise TopicMismatch(self._problem)

    def check_sizes(self) -> None:
        """Raises TopicMismatch if a topic was set to take smaller records: what it refuses then is no event that is too large."""
        if problem := self._too_small():
            raise TopicMismatch(f"{problem}. The namespace {self._names.namespace} was stopped: nothing is left out for this")

    def watch(self, cancelled: Cancelled) -> Steps[None]:
        """Compare until cancelled, or until a difference is found."""
        while not cancelled() and not self._problem and not self._gone:
            began = self._clock.monotonic()
            self.compare(cancelled)
            yield max(SOON, EVERY - (self._clock.monotonic() - began))

    def compare(self, cancelled: Cancelled = never_cancelled) -> None:
        """Compare once. A broker that does not answer is no difference: nothing is committed until it does."""
        began = self._clock.monotonic()
        try:
            found = describe(self._admin, self._asked, timeout=TIMEOUT, cancelled=cancelled)
        except (BrokerError, KafkaException) as error:
            self._pause(cancelled, harmless(str(error)))
        except Exception as error:  # noqa: BLE001 - an ended watch would stop all commits, without any notice
            self._pause(cancelled, f"{type(error).__name__}: {harmless(str(error))}")
        else:
            self._compared(found, began)

    def _compared(self, found: Mapping[str, TopicInfo], began: float) -> None:
        self._missing = {name: self._missing.get(name, began) for name in self._topics if name not in found}
        gone = [name for name, since in self._missing.items() if began - since >= GONE]
        self._problem = next(filter(None, (self._difference(name, info) for name, info in found.items())), "")
        if not self._problem and gone:
            self._problem = self._deleted(gone[0])
        if self._missing or self._problem:
            return
        if self._said:
            log.info("topics are compared again; committing goes on", namespace=self._names.namespace)
        self._good, self._said = began, False

    def _difference(self, name: str, info: TopicInfo) -> str:
        was = self._topics.setdefault(name, info)
        if info.id != was.id:
            what = f"{name} was deleted and made again while this worker ran (its id was {was.id}, now {info.id})"
            anew = after_recreation(self._names, name, missing=False)
            return f"{what}: its offsets mean other records. {self._advice(name, anew)}"
        if info.partitions != was.partitions:
            what = f"{name} has {info.partitions} partitions, and had {was.partitions} when this worker started"
            return f"{what}: keys move between partitions. {self._advice(name, after_repartition(self._names))}"
        return ""

    def _deleted(self, name: str) -> str:
        return (
            f"{name} was deleted while this worker ran: the broker has not had it for {GONE:.0f} s. "
            f"{self._advice(name, after_recreation(self._names, name, missing=True))}"
        )

    def _advice(self, name: str, advice: str) -> str:
        if name in self._names[1:]:
            return f"The namespace {self._names.namespace} was stopped. {advice}"
        return (
            f"The namespace {self._names.namespace} emits into it, and was stopped. The worker of the topic's own namespace "
            "says what to do about it; start this worker again after that"
        )

    def _pause(self, cancelled: Cancelled, why: str) -> None:
        if not self.fresh:
            self._gone = self._moved()
        if self.fresh or self._said or cancelled():
            return
        self._said = True
        log.warning(
            "topics cannot be compared; nothing is committed until they are", namespace=self._names.namespace, detail=why
        )
