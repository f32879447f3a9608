"""Reading partitions up to the end offsets that were asked for beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams.clock import Clock
from streams.engine.records import UNREADABLE, Headers
from streams.errors import BrokerError, BrokerUnavailable
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled

# A producer in another language may write any bytes as a header name. confluent-kafka 2.16 then returns a list with a NULL
# entry and a pending exception. CPython detects this where it checks a call's result, as here; a specialised (often run)
# `message.headers()` is not checked, and reading the list crashes the process. So never call it directly. Nor a second time: a
# message keeps the list that it has made, and gives it without an exception then.
_asked: Callable[[Message], Headers | None] = methodcaller("headers")


def headers_of(message: Message) -> Headers:
    """A consumed record's headers: a list of pairs in the record's order, or UNREADABLE."""
    try:
        return _asked(message) or []
    except (UnicodeDecodeError, SystemError):
        return UNREADABLE


def all_headers_of(messages: Iterable[Message], kind: Any) -> list[Headers]:
    """As `headers_of`, of each of many messages of a class: C makes the calls, and checks the result of each."""
    found, asked = list[Headers | None](), map(kind.headers, messages)
    while True:
        try:
            found.extend(asked)  # what is before one that raises stays, and its next call goes on behind that one
            break
        except (UnicodeDecodeError, SystemError):
            found.append(UNREADABLE)
    return [[] if it is None else it for it in found]


def read_to(
    consumer: Consumer,
    spans: Mapping[tuple[str, int], tuple[int, int]],
    *,
    clock: Clock,
    timeout: float = 60.0,
    cancelled: Cancelled = never_cancelled,
) -> Iterator[Message]:
    """The records of `polls`, one by one."""
    return chain.from_iterable(polls(consumer, spans, timeout=timeout, cancelled=cancelled, clock=clock))


def polls(
    consumer: Consumer,
    spans: Mapping[tuple[str, int], tuple[int, int]],
    *,
    clock: Clock,
    timeout: float = 60.0,
    cancelled: Cancelled = never_cancelled,
) -> Iterator[list[Message]]:
    """Committed records of each (topic, partition), from its start until an end-of-partition event at or past its end (rule 1b).

    One list for each poll; it may be empty. Control records leave gaps, so no particular offset is waited for. The consumer
    is read_committed and reports ends of partitions; all partitions are read at once. Raises BrokerError after `timeout` s
    without progress (an open transaction in the way lasts at most its own timeout), and PartitionLost when cancelled.
    """
    left = {topic_partition: end for topic_partition, (start, end) in spans.items() if start < end}
    consumer.assign([TopicPartition(*topic_partition, spans[topic_partition][0]) for topic_partition in left])
    last_progress = clock.monotonic()
    while left:
        raise_if_cancelled(cancelled)
        records = []
        for message in consumer.consume(5000, 0.02):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                topic_partition = (message.topic() or "", message.partition() or 0)
                if (message.offset() or 0) >= left.get(topic_partition, 0):
                    left.pop(topic_partition, None)
            elif not error.retriable():
                raise _refused(message, error)
        yield records
        if records:  # measured after the caller took them: a slow reader is no slow broker
            last_progress = clock.monotonic()
        if left and clock.monotonic() - last_progress > timeout:
            where = ", ".join(f"{topic}-{partition} to {end}" for (topic, partition), end in left.items())
            raise BrokerError(
                f"{where}: not readable for {timeout:.0f} s. A transaction is open there (`retold status` says whose), "
                "or the broker does not answer"
            )


def first_records(
    consumer: Consumer, begin: Mapping[tuple[str, int], int], *, clock: Clock, timeout: float
) -> Iterator[Message]:
    """The first record of each (topic, partition) from its offset on, as they arrive; none where an end comes first.

    The consumer reports ends of partitions. Raises BrokerError, and BrokerUnavailable after `timeout` s: what could not be read
    is not taken for nothing.
    """
    left, deadline = set(begin), clock.monotonic() + timeout
    consumer.assign([TopicPartition(*topic_partition, begin[topic_partition]) for topic_partition in left])
    while left:
        for message in consumer.consume(100, 0.02):
            topic_partition, error = (message.topic() or "", message.partition() or 0), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise _refused(message, error)
                continue
            if error is None and topic_partition in left:
                yield message
            left.discard(topic_partition)
        if left and clock.monotonic() > deadline:
            where = ", ".join(f"{topic}-{partition} at {begin[topic, partition]}" for topic, partition in sorted(left))
            raise BrokerUnavailable(f"{where}: not readable for {timeout:.0f} s. The broker does not answer")


def _refused(message: Message, error: KafkaError) -> BrokerError:
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return BrokerError(
            f"this user may not read ({error.str()}). Give it the right Describe on the group retold-reader, with RETOLD_PREFIX "
            "before it: Kafka's client asks for that group, which has no members and no offsets"
        )
    return BrokerError(f"reading {message.topic()} failed: {error.str()}")
