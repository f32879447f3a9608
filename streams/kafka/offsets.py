"""Asking for offsets: where partitions begin, where they end, and where a time begins in them."""

from __future__ import annotations

from collections.abc import Sequence

import stamina
from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from streams.errors import BrokerError

Place = tuple[str, int]
"""Topic and partition."""
Offsets = dict[Place, int]
MOVED = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH}
"""What a client hears that knows an older leader, also of a single broker that was away for a while. It asks who leads."""
PASSING = MOVED | {
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION, KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._UNKNOWN_PARTITION, KafkaError._NOENT,
}  # fmt: skip
"""What one hears for a moment after a topic was made, or its leader has moved, or a broker was slow."""


GROUPS = "__consumer_offsets"
"""Kafka's own topic of groups' committed offsets."""


class TryAgain(BrokerError):
    """An answer that another attempt may better."""


class NoSuchTopic(BrokerError):
    pass


def ends(admin: AdminClient, places: Sequence[Place], *, timeout: float = 10.0) -> Offsets:
    """The READ_UNCOMMITTED ends: past every record, also those of transactions still open (rule 1a).

    A read_committed consumer's watermark is the stable offset, which is not the end. Raises BrokerError.
    """
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, places, latest, IsolationLevel.READ_UNCOMMITTED, timeout)


def stable_ends(admin: AdminClient, places: Sequence[Place], *, timeout: float = 10.0) -> Offsets:
    """The ends that a read_committed reader can reach at once: before the first transaction that is still open."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, places, latest, IsolationLevel.READ_COMMITTED, timeout)


def starts(admin: AdminClient, places: Sequence[Place], *, timeout: float = 10.0) -> Offsets:
    """The first offsets that are still kept. Raises BrokerError."""
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, places, earliest, IsolationLevel.READ_UNCOMMITTED, timeout)


def since(admin: AdminClient, places: Sequence[Place], timestamp: int, *, timeout: float = 10.0) -> Offsets:
    """The first offsets of a time (ms since 1970) or later; negative where there is none. Raises BrokerError."""
    time = OffsetSpec.for_timestamp(timestamp)
    return _offsets(admin, places, time, IsolationLevel.READ_UNCOMMITTED, timeout)


def group_place(admin: AdminClient, group: str, *, timeout: float = 10.0) -> Place | None:
    """The partition in which Kafka keeps a group's offsets; None if this user may not see it. Raises KafkaException."""
    count = len(admin.list_topics(GROUPS, timeout=timeout).topics[GROUPS].partitions)
    return (GROUPS, abs(_java_hash(group)) % 2**31 % count) if count else None


def _java_hash(text: str) -> int:
    """As `String.hashCode`."""
    units, found = text.encode("utf-16-be"), 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        found = (found * 31 + high * 256 + low) & 0xFFFFFFFF
    return found - (1 << 32) if found >= 1 << 31 else found


@stamina.retry(on=TryAgain, timeout=10.0, attempts=None, wait_initial=0.05, wait_max=0.5, wait_jitter=0.05)
def _offsets(
    admin: AdminClient, places: Sequence[Place], which: OffsetSpec, isolation: IsolationLevel, timeout: float
) -> Offsets:
    asked = {TopicPartition(topic, partition): which for topic, partition in places}
    if not asked:
        return {}
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=timeout)
    found = {}
    for at, answer in answers.items():
        what = f"the offsets of {at.topic}-{at.partition} are not known"
        try:
            offset = answer.result().offset
        except KafkaException as error:
            raise _refusal(admin, error.args[0], what, timeout) from error
        if offset == OFFSET_INVALID:  # no error and no offset: a broker was too slow. Taken for one, a table would be empty
            raise TryAgain(f"{what}: the broker gave none")
        found[at.topic, at.partition] = offset
    return found


def _refusal(admin: AdminClient, cause: KafkaError, what: str, timeout: float) -> BrokerError:
    kind: type[BrokerError] = TryAgain if cause.retriable() or cause.code() in PASSING else BrokerError
    if cause.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        kind = NoSuchTopic
    if cause.code() in MOVED:
        try:
            admin.list_topics(timeout=timeout)  # by which the client learns who leads now
        except KafkaException as error:
            return TryAgain(f"{what}: {error.args[0].str()}")
    return kind(f"{what}: {cause.str()}")
