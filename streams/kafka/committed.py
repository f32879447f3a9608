"""A group's committed offsets, read by a consumer that never joins the group (rule 35)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled, Steps, raise_if_cancelled
from streams.kafka.offsets import ends
from streams.kafka.renewed_client import SILENCES, Admin, RenewedClient, got_no_answer

FIRST_TIMEOUT, LATER_TIMEOUT = 1.0, 2.0
"""s for one of the first requests, and for a later one."""
RETRY_WAIT = 0.2
"""s between two requests."""
COORDINATOR_TIMEOUT = 10.0
"""s until a coordinator must be there."""
COORDINATOR_MOVING = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
}  # fmt: skip
"""Errors while the group's coordinator moves or its broker starts."""


def nothing_to_end(*_: object) -> Steps[None]:
    """Where a transaction's own time-out ends it."""
    yield from ()


class StableOffset(NamedTuple):
    """`offset` is -1 if nothing was committed. `waited`: for an open transaction, which may have written records meanwhile."""

    offset: int
    waited: bool


class CommittedOffsets:
    """Committed offsets of one topic; used by one thread. `consumer` makes a read_committed one with the group's id.

    An AdminClient of librdkafka 2.16 crashes the process when it asks a coordinator that has just moved (NULL is read), so
    a consumer asks. While a transaction that has sent an offset is open, the broker does not return the group's offset
    (KIP-447); the client retries silently, so for us the request times out. `coordinator_timeout` in s.
    `end_dead` ends what a dead worker has left open there; it is called after a first request that timed out.
    """

    def __init__(
        self, consumer: Callable[[], Consumer], admin: Admin, topic: str, *, coordinator_timeout: float = COORDINATOR_TIMEOUT,
        end_dead: Callable[[Cancelled], Steps[None]] = nothing_to_end,
    ) -> None:  # fmt: skip
        self._consumer, self._admin, self._topic = RenewedClient(consumer, lambda it: it.close(), admin.clock), admin, topic
        self._coordinator_timeout, self._end_dead = coordinator_timeout, end_dead

    def offset(
        self, partition: int, cancelled: Cancelled, held: Callable[[bool], None] = lambda _: None
    ) -> Steps[StableOffset]:
        """The committed offset, once no open transaction can still change it; `held` is called with whether one is open.

        Raises BrokerError if the broker does not answer, PartitionLost when cancelled.
        """
        silences = 0
        coming: float | None = None
        while True:
            raise_if_cancelled(cancelled)
            try:
                ask = partial(self._once, partition, FIRST_TIMEOUT if silences < SILENCES else LATER_TIMEOUT)
                offset = self._consumer.ask(ask)
                held(False)
                return StableOffset(offset, waited=silences > 0)
            except KafkaException as error:
                cause = error.args[0]
                now = self._admin.clock.monotonic()
                if got_no_answer(error):
                    silences, coming = silences + 1, None
                elif cause.code() in COORDINATOR_MOVING and now - (coming or now) <= self._coordinator_timeout:
                    coming = coming or now
                else:
                    what = f"the committed offset of {self._topic}-{partition} is not known"
                    raise BrokerError(f"{what}: {cause.str()}") from error
                if cause.code() != KafkaError._TIMED_OUT:
                    yield RETRY_WAIT
            if silences == 1:
                yield from self._end_dead(cancelled)
            if silences > SILENCES:  # a new client got no answer either: is it the broker, or a transaction?
                ends(self._admin, [(self._topic, partition)], timeout=COORDINATOR_TIMEOUT, cancelled=cancelled)
                held(True)
                yield RETRY_WAIT  # so that other restores continue meanwhile

    def close(self) -> None:
        self._consumer.close()

    def _once(self, partition: int, timeout: float, consumer: Consumer) -> int:
        [at] = consumer.committed([TopicPartition(self._topic, partition)], timeout=timeout)
        if at.error is not None:
            raise KafkaException(at.error)
        return -1 if at.offset == OFFSET_INVALID else int(at.offset)
