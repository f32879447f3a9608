"""Offsets of partitions: the first, the end, and the first at or after a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled
from streams.kafka.renewed_client import DROPPED, Admin, silence

TopicAndPartition = tuple[str, int]
"""Topic and partition."""
Offsets = dict[TopicAndPartition, int]
MOVED = {
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError._NOENT,
}  # fmt: skip
"""Errors from outdated metadata; a metadata request resolves them."""
PASSING = MOVED | {
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION, KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._UNKNOWN_PARTITION, DROPPED,
}  # fmt: skip
"""Errors that pass by themselves: after a topic was created, its leader moved, or a broker was slow."""


TRIES, LEAST = 3, 1.0
"""Attempts within a timeout, and the s that each attempt has at least."""
SHORTEST, LONGEST = 0.05, 0.5
"""s between two attempts: they double each time, up to the longest."""
GROUPS = "__consumer_offsets"
"""Kafka's own topic of groups' committed offsets."""


class TryAgain(BrokerError):
    """An error that another attempt may resolve."""


class NoSuchTopic(BrokerError):
    pass


def ends(
    admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> Offsets:
    """The READ_UNCOMMITTED ends: past every record, including those of open transactions (rule 1a).

    A read_committed consumer's watermark is the last stable offset, which may be smaller. Raises BrokerError.
    """
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, partitions, latest, IsolationLevel.READ_UNCOMMITTED, timeout, cancelled)


def stable_ends(
    admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> Offsets:
    """The last stable offsets: a read_committed reader can reach them at once, before the first open transaction."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, partitions, latest, IsolationLevel.READ_COMMITTED, timeout, cancelled)


class OpenSpan(NamedTuple):
    """The offsets that an open transaction hides: from `offset`, its first record or one before it, to `end`."""

    offset: int
    end: int


def held_up(
    admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> dict[TopicAndPartition, OpenSpan]:
    """The partitions where a read_committed reader cannot reach the end. Raises BrokerError; PartitionLost when cancelled."""
    # The ends first: so a smaller stable offset, which is read later, means an open transaction and not newer records.
    end = ends(admin, partitions, timeout=timeout, cancelled=cancelled)
    stable = stable_ends(admin, partitions, timeout=timeout, cancelled=cancelled)
    return {each: OpenSpan(stable[each], end[each]) for each in partitions if stable[each] < end[each]}


def starts(
    admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> Offsets:
    """The first offsets that are still kept. Raises BrokerError."""
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own lack
    return _offsets(admin, partitions, earliest, IsolationLevel.READ_UNCOMMITTED, timeout, cancelled)


def since(
    admin: Admin,
    partitions: Sequence[TopicAndPartition],
    timestamp: int,
    *,
    timeout: float = 10.0,
    cancelled: Cancelled = never_cancelled,
) -> Offsets:
    """The first offsets of a time (ms since 1970) or later; negative where there is none. Raises BrokerError."""
    time = OffsetSpec.for_timestamp(timestamp)
    return _offsets(admin, partitions, time, IsolationLevel.READ_UNCOMMITTED, timeout, cancelled)


def last_written(
    admin: Admin, partitions: Sequence[TopicAndPartition], *, timeout: float = 10.0, cancelled: Cancelled = never_cancelled
) -> int:
    """The latest timestamp of a record in any of these partitions, in ms since 1970; -1 if there is none. Raises BrokerError.

    In our topics it is the broker's time (LogAppendTime): by the broker's clock it is at least so late now.
    """
    latest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # the client's own lack
    found = _offsets(admin, partitions, latest, IsolationLevel.READ_UNCOMMITTED, timeout, cancelled, _read_time)
    return max(found.values(), default=-1)


def group_offsets_partition(admin: Admin, group: str, *, timeout: float = 10.0) -> TopicAndPartition | None:
    """The partition in which Kafka keeps a group's offsets; None if this user may not see it. Raises KafkaException."""
    topics = admin.ask(lambda client: client.list_topics(GROUPS, timeout=timeout)).topics
    count = len(topics[GROUPS].partitions)
    return (GROUPS, abs(_java_hash(group)) % 2**31 % count) if count else None


def _java_hash(text: str) -> int:
    """As `String.hashCode`."""
    units, found = text.encode("utf-16-be"), 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        found = (found * 31 + high * 256 + low) & 0xFFFFFFFF
    return found - (1 << 32) if found >= 1 << 31 else found


def _offsets(
    admin: Admin,
    partitions: Sequence[TopicAndPartition],
    which: OffsetSpec,
    isolation: IsolationLevel,
    timeout: float,
    cancelled: Cancelled,
    read: Callable[[ListOffsetsResultInfo], int] | None = None,
) -> Offsets:
    """Asks several times in `timeout` s: a stale client is replaced after two requests without an answer."""
    asked = {TopicPartition(topic, partition): which for topic, partition in partitions}
    if not asked:
        return {}
    each = min(timeout, max(LEAST, timeout / TRIES))
    until, pause = admin.clock.monotonic() + timeout, SHORTEST
    while True:
        try:
            return _ask(admin, asked, isolation, each, cancelled, read or _read)
        except TryAgain:
            if admin.clock.monotonic() + pause >= until:
                raise
        admin.clock.sleep(pause)
        pause = min(2 * pause, LONGEST)


def _ask(
    admin: Admin,
    asked: dict[TopicPartition, OffsetSpec],
    isolation: IsolationLevel,
    timeout: float,
    cancelled: Cancelled,
    read: Callable[[ListOffsetsResultInfo], int],
) -> Offsets:
    raise_if_cancelled(cancelled)
    try:
        admin.learn_leaders({at.topic for at in asked}, timeout)
    except KafkaException as error:
        raise TryAgain(f"who leads the partitions is not known: {error.args[0].str()}") from error
    found = admin.request(
        AdminClient.list_offsets, asked, timeout=timeout, read=read, cancelled=cancelled, isolation_level=isolation
    )
    offsets: Offsets = {}
    for at, answer in found.items():
        if isinstance(answer, KafkaException):
            what = f"the offsets of {at.topic}-{at.partition} are not known"
            raise _refusal(admin, answer.args[0], what, timeout, cancelled) from answer
        offsets[at.topic, at.partition] = answer
    return offsets


def _read(answer: ListOffsetsResultInfo) -> int:
    """A slow broker gives neither an error nor an offset. Taken as an offset, it would make a table empty."""
    if answer.offset == OFFSET_INVALID:
        raise silence("the broker gave none")
    return int(answer.offset)


def _read_time(answer: ListOffsetsResultInfo) -> int:
    _read(answer)
    return int(answer.timestamp)


def _refusal(admin: Admin, cause: KafkaError, what: str, timeout: float, cancelled: Cancelled) -> BrokerError:
    kind: type[BrokerError] = TryAgain if cause.retriable() or cause.code() in PASSING else BrokerError
    if cause.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        kind = NoSuchTopic
    if cause.code() in MOVED:
        raise_if_cancelled(cancelled)
        try:
            admin.refresh(timeout)
        except KafkaException as error:
            return TryAgain(f"{what}: {error.args[0].str()}")
    return kind(f"{what}: {cause.str()}")
