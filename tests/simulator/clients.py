"""The Consumer, Producer and AdminClient of a `MemoryBroker`: what `streams.kafka` asks of confluent-kafka's, and no more."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from types import SimpleNamespace
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.admin._config import ConfigResource

from streams.kafka.clients import Clients
from tests.simulator.broker import MemoryBroker, Metadata, Partition, TopicAndPartition
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.memory_producer import MemoryProducer


def clients(
    broker: MemoryBroker, consumer: Callable[[MemoryBroker, Mapping[str, Any]], Any] | None = None
) -> Clients:
    """Of `broker`, made with the same options as real ones; a test may have a `consumer` of its own."""
    kinds: dict[Any, Callable[[MemoryBroker, Mapping[str, Any]], Any]] = {
        Consumer: consumer or MemoryConsumer,
        Producer: MemoryProducer,
        AdminClient: MemoryAdmin,
    }

    def make(kind: Any, options: Any) -> Any:
        return kinds[kind](broker, options)

    return Clients("memory:0", clock=broker.clock, make=make)


OUTSIDE = -1
"""Told of a partition that does not have the offset that is asked for; nothing more is asked of it until it is sought."""


class MemoryConsumer:
    """Assigned by hand, or by a group once it subscribes. Rebalances are met in `poll` and `consume`, as librdkafka does."""

    def __init__(self, broker: MemoryBroker, options: Mapping[str, Any]) -> None:
        self._broker, self._group, self._client_id = broker, options["group.id"], options.get("client.id", "")
        self._committed = options["isolation.level"] == "read_committed"
        self._tells_ends = options.get("enable.partition.eof", False)
        self._at: dict[TopicAndPartition, int] = {}
        self._paused: set[TopicAndPartition] = set()
        self._told: dict[TopicAndPartition, int] = {}
        self._topic: str | None = None
        self._callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self._owned: set[int] = set()
        self._generation = -1
        self._leaving = False

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        [self._topic] = topics
        self._callbacks = callbacks
        self._broker.join(self._group, self, len(self._broker.topics[self._topic]))

    def list_topics(self, topic: str, *, timeout: float) -> None:
        """Nobody looks at the answer."""

    def unsubscribe(self) -> None:
        """The next poll revokes its partitions and leaves the group."""
        self._leaving = True

    def described(self) -> Any:
        """As a member of its group, with a ConsumerProtocolAssignment of version 0 and no data of its own."""
        topic, owned = (self._topic or "").encode(), sorted(self._owned)
        shape = f">hih{len(topic)}si{len(owned)}ii"
        assignment = struct.pack(shape, 0, 1, len(topic), topic, len(owned), *owned, -1)
        return SimpleNamespace(client_id=self._client_id, assignment=assignment)

    def consumer_group_metadata(self) -> Metadata:
        return Metadata(self._group, self, self._generation)

    def metadata_once_it_has_joined(self) -> Metadata:
        """What `consumer_group_metadata` tells later, when it is a member again."""
        if self._topic is not None and self not in self._broker.groups[self._group].members:
            self._broker.join(self._group, self, len(self._broker.topics[self._topic]))
        return Metadata(self._group, self, self._broker.groups[self._group].generation)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.unassign()
        self.incremental_assign(partitions)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._at |= {(it.topic, it.partition): it.offset for it in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for it in partitions:
            self._forget((it.topic, it.partition))

    def unassign(self) -> None:
        for topic_partition in list(self._at):
            self._forget(topic_partition)

    def seek(self, it: TopicPartition) -> None:
        assert (it.topic, it.partition) in self._at, "only what is assigned can be sought"
        self._at[it.topic, it.partition] = it.offset
        self._told.pop((it.topic, it.partition), None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {(it.topic, it.partition) for it in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {(it.topic, it.partition) for it in partitions}

    def poll(self, timeout: float) -> MemoryMessage | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        self._rebalance()
        found = [*islice(self._messages(), count)]
        if not found:
            self._broker.clock.sleep(timeout)
        return found

    def get_watermark_offsets(self, it: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "the broker is not asked"
        partition = self._broker.partition((it.topic, it.partition))
        return partition.low, partition.end

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The broker gives no answer while a transaction is open that sent an offset, so it takes all the time."""
        found = []
        for it in partitions:
            try:
                offset = self._broker.offset(self._group, (it.topic, it.partition))
            except Exception:
                self._broker.clock.sleep(timeout)
                raise
            found.append(TopicPartition(it.topic, it.partition, OFFSET_INVALID if offset is None else offset))
        return found

    def close(self) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._topic is not None:
            try:
                self._revoke(self._owned, "on_revoke")
            finally:  # whatever the callback raises
                self._broker.leave(self._group, self, len(self._broker.topics[self._topic]))
                self._topic, self._owned = None, set()

    def _messages(self) -> Iterator[MemoryMessage]:
        """All that is there now, partition by partition; whatever is taken of it is read."""
        for topic_partition in self._at:
            if topic_partition in self._paused:
                continue
            partition, at = self._broker.partition(topic_partition), self._at[topic_partition]
            end = partition.stable if self._committed else partition.end
            if at < partition.low or (at > end and at > partition.end):
                if self._told.get(topic_partition) != OUTSIDE:
                    self._told[topic_partition] = OUTSIDE
                    yield MemoryMessage(topic_partition, at, None, KafkaError._AUTO_OFFSET_RESET)
                continue
            if at < end:
                for offset, entry in partition.read(at, committed=self._committed):
                    self._at[topic_partition] = offset + 1
                    yield MemoryMessage(topic_partition, offset, entry)
                self._at[topic_partition] = end
            if self._tells_ends and self._told.get(topic_partition) != end:
                self._told[topic_partition] = end
                yield MemoryMessage(topic_partition, end, None)

    def _rebalance(self) -> None:
        if self._leaving:
            self._leave()
        if self._topic is None:
            return
        group = self._broker.groups[self._group]
        if self not in group.members:  # thrown out, for its session was over
            self._revoke(self._owned, "on_lost")
            self._broker.join(self._group, self, len(self._broker.topics[self._topic]))
        ours = {at for at, member in group.target.items() if member is self}
        self._revoke(self._owned - ours, "on_revoke")
        others = set().union(*(it._owned for it in group.members if it is not self))
        gained = ours - self._owned - others
        if gained or self._generation != group.generation:
            self._generation = group.generation
            self._owned |= gained
            self._callbacks["on_assign"](self, [TopicPartition(self._topic, at) for at in sorted(gained)])

    def _revoke(self, partitions: set[int], callback: str) -> None:
        if partitions and self._topic is not None:
            self._callbacks[callback](self, [TopicPartition(self._topic, at) for at in sorted(partitions)])
            self._owned = self._owned - partitions

    def _forget(self, topic_partition: TopicAndPartition) -> None:
        self._at.pop(topic_partition, None)
        self._told.pop(topic_partition, None)
        self._paused.discard(topic_partition)


class MuteConsumer(MemoryConsumer):
    """Its broker does not answer."""

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        self._broker.clock.sleep(timeout)
        return []


class MemoryAdmin:
    """Answers are there at once, in the futures that confluent-kafka gives."""

    def __init__(self, broker: MemoryBroker, _options: Mapping[str, Any]) -> None:
        self._broker = broker
        self._led: frozenset[str] = frozenset()

    def list_offsets(
        self, asked: Mapping[TopicPartition, OffsetSpec], *, isolation_level: IsolationLevel, **_: Any
    ) -> dict[TopicPartition, Future[Any]]:
        unknown = {it for at in asked if (it := at.topic) not in self._led and it in self._broker.topics}
        assert not unknown, f"librdkafka may end the process: this client does not know who leads {unknown}"
        if self._broker.lists_nothing:
            return {at: Future() for at in asked}
        return {at: Answer(SimpleNamespace(offset=self._offset(at, spec, isolation_level))) for at, spec in asked.items()}

    def delete_records(self, asked: Sequence[TopicPartition], **_: Any) -> dict[TopicPartition, Future[Any]]:
        return {at: self._deleted(self._broker.partition((at.topic, at.partition)), at.offset) for at in asked}

    def describe_topics(self, asked: TopicCollection, **_: Any) -> dict[str, Future[Any]]:
        if self._broker.describes_nothing:
            return {name: Future() for name in asked.topic_names}
        return {name: self._described(name) for name in asked.topic_names}

    def describe_configs(self, asked: Sequence[ConfigResource], **_: Any) -> dict[ConfigResource, Future[Any]]:
        return {it: self._settings(it.name) for it in asked}

    def _settings(self, topic: str) -> Future[Any]:
        if topic not in self._broker.settings:
            return _failed(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        return Answer({name: SimpleNamespace(value=value) for name, value in self._broker.settings[topic].items()})

    def list_groups(self, name: str, *, timeout: float) -> list[Any]:
        """Of workers that are killed: no group has a member, unless the broker is to tell of them."""
        return [SimpleNamespace(id=name, error=None, members=self._members(name))]

    def _members(self, name: str) -> list[Any]:
        group = self._broker.groups.get(name)
        return [it.described() for it in group.members] if group is not None and self._broker.tells_members else []

    def list_topics(self, topic: str = "", *, timeout: float) -> Any:
        """Of all topics; or of one, which nobody here may see, such as Kafka's own."""
        if topic:
            return SimpleNamespace(topics={topic: SimpleNamespace(partitions={})})
        self._led = frozenset(self._broker.topics)
        return SimpleNamespace(topics=dict.fromkeys(self._led))

    def _described(self, name: str) -> Future[Any]:
        if name not in self._broker.topics:
            return _failed(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return Answer(SimpleNamespace(topic_id=self._broker.ids[name], partitions=self._broker.topics[name]))

    @staticmethod
    def _deleted(partition: Partition, before: int) -> Future[Any]:
        if before > partition.end:
            return _failed(KafkaError.OFFSET_OUT_OF_RANGE)
        partition.low = max(partition.low, before)
        return Answer(SimpleNamespace(low_watermark=partition.low))

    def _offset(self, at: TopicPartition, which: OffsetSpec, isolation: IsolationLevel) -> int:
        partition = self._broker.partition((at.topic, at.partition))
        if isinstance(which, EARLIEST):
            return partition.low
        if which._value >= 0:  # a time, in ms
            kept = list(enumerate(partition.entries))[partition.low :]
            return next((offset for offset, it in kept if it.timestamp >= which._value), -1)
        return partition.stable if isolation == IsolationLevel.READ_COMMITTED else partition.end


EARLIEST = type(OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # the client's own lack


class Answer(Future[Any]):
    """One that is there, and that nobody waits for: without the lock of a Future, which costs ten times as much to make."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        return self._value

    def exception(self, timeout: float | None = None) -> None:
        return None



def _failed(code: int) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future
