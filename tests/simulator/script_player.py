"""Plays a script on whatever Kafka its clients are of, and tells what was seen of each operation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from streams.kafka.clients import Clients
from streams.kafka.offsets import ends, stable_ends, starts
from streams.kafka.renewed_client import Admin, as_raised
from tests.simulator import script
from tests.simulator.script import Operation

Seen = Any
"""What JSON can hold: of an error its name, and what its client says may be done about it."""
NOTHING = "nothing to do"
"""For a producer or member that does not exist."""
PATIENCE = 20.0
"""s for what a busy machine takes a moment for."""
TOO_LARGE = random.Random(0).randbytes(4 * script.LARGEST)
"""It stays so when it is compressed."""
ROUNDS = 8
"""In which each member of a group is polled: on a Kafka in memory enough for a rebalance."""


class ScriptPlayer:
    """`topic` has as many partitions as scripts use, and is the script's own, as is all that is named `name`."""

    def __init__(self, clients: Clients, admin: Admin, topic: str, name: str) -> None:
        self._clients, self._admin, self._topic, self._name = clients, admin, topic, name
        self._publisher: Any = None
        self._producers: dict[int, _Producer] = {}
        self._members: dict[int, _Member] = {}
        self._known: dict[int, Any] = {}
        self._readers: dict[bool, Any] = {}
        self._asking: Any = None

    def do(self, it: Operation) -> Seen:
        """What was seen of it."""
        return _told(lambda: self._done(it))

    def look(self, it: Operation) -> Seen:
        """Once more at what is seen of one of LOOKS."""
        return _told(lambda: self._looked(it))

    def leave(self) -> None:
        """All members leave; what there is may still be looked at. Transactions that are open stay so."""
        while self._members:
            self._members.popitem()[1].consumer.close()

    def close(self) -> None:
        self.leave()
        for consumer in self._readers.values():
            consumer.close()
        if self._asking is not None:
            self._asking.close()

    def _done(self, it: Operation) -> Seen:
        match it:
            case script.Init(number):
                self._producers[number] = _Producer(self._clients, f"{self._name}-{script.IDS[number]}")
                return self._producers[number].init()
            case script.Publish(at, key, value):
                if self._publisher is None:
                    self._publisher = self._clients.producer()
                self._publisher.produce(self._topic, None if value is None else value.encode(), key.encode(), at)
                return self._publisher.flush(PATIENCE)
            case script.Join(number):
                return self._join(number)
            case script.Leave(number) | script.Know(number):
                return self._of_member(number, it)
            case script.Read() | script.Ends() | script.Committed() | script.Delete():
                return self._looked(it)
        return self._of_producer(it)

    def _of_producer(self, it: Operation) -> Seen:
        assert isinstance(it, script.Begin | script.Produce | script.Offsets | script.Commit | script.Abort)
        producer = self._producers.get(it.producer)
        if producer is None:
            return NOTHING
        match it:
            case script.Begin():
                return producer.begin()
            case script.Produce(_, at, key, value, large):
                return producer.produce(self._topic, at, key.encode(), TOO_LARGE if large else value.encode())
            case script.Offsets(_, member, at, offset):
                if member not in self._known:
                    return NOTHING
                return producer.send_offsets(TopicPartition(self._topic, at, offset), self._known[member])
        return producer.end(commits=isinstance(it, script.Commit))

    def _join(self, number: int) -> Seen:
        if number in self._members:
            return NOTHING
        self._members[number] = _Member(self._clients, self._topic, self._name)
        return self._shares(for_all=True)

    def _of_member(self, number: int, it: Operation) -> Seen:
        if number not in self._members:
            return NOTHING
        if isinstance(it, script.Know):
            self._known[number] = self._members[number].consumer.consumer_group_metadata()
            return None
        self._members.pop(number).consumer.close()
        return self._shares(for_all=True)

    def _looked(self, it: Operation) -> Seen:
        match it:
            case script.Ends(at):
                where = self._topic, at
                return [asked(self._admin, [where])[where] for asked in (starts, stable_ends, ends)]
            case script.Delete(at, before):
                asked = [TopicPartition(self._topic, at, before)]
                [answer] = self._admin.client.delete_records(asked).values()
                return answer.result(PATIENCE).low_watermark
            case script.Read(at, committed, begin):
                return [*self._read(at, begin, committed=committed)]
            case script.Committed(at):
                if self._asking is None:
                    self._asking = self._clients.asking_consumer(self._name)
                [found] = self._asking.committed([TopicPartition(self._topic, at)], timeout=0.5)
                return None if found.offset == OFFSET_INVALID else found.offset
        return self._shares(for_all=False)

    def _read(self, at: int, begin: int | None, *, committed: bool) -> Iterator[Seen]:
        """Offset, key and size or text of each record, then the end that the consumer told."""
        where = self._topic, at
        if committed not in self._readers:
            self._readers[committed] = self._clients.consumer(read_uncommitted=not committed)
        consumer, until = self._readers[committed], self._clients.clock.monotonic() + PATIENCE
        if begin is None:
            begin = starts(self._admin, [where])[where]
        consumer.assign([TopicPartition(*where, begin)])
        try:
            while self._clients.clock.monotonic() < until:
                for message in consumer.consume(100, 0.05):
                    if (error := message.error()) is None:
                        value = message.value()
                        text = None if value is None else value[:10].decode()
                        yield [message.offset(), message.key().decode(), text]
                    elif error.code() == KafkaError._PARTITION_EOF:
                        yield message.offset()
                        return
                    else:
                        raise KafkaException(error)
            yield "no end"
        finally:
            consumer.unassign()

    def _shares(self, *, for_all: bool) -> Seen:
        """How many partitions each member has, and that all have heard of the change. `for_all`: there was one just now."""
        if for_all:
            for member in self._members.values():
                member.heard = False
        for _ in range(ROUNDS):
            for member in self._members.values():
                member.consumer.consume(1, 0.02)
        return [sorted(len(it.owned) for it in self._members.values()), all(it.heard for it in self._members.values())]


class _Producer:
    """A transactional one. `failures` are names of what was not delivered."""

    def __init__(self, clients: Clients, transactional_id: str) -> None:
        self._failures = list[str]()
        self._client = clients.transactional_producer(transactional_id, transactional_id, self._on_delivery, timeout=60.0)

    def init(self) -> Seen:
        self._client.init_transactions(PATIENCE)
        return None

    def begin(self) -> Seen:
        self._client.begin_transaction()
        return None

    def produce(self, topic: str, partition: int, key: bytes, value: bytes) -> Seen:
        """What was not delivered."""
        self._failures.clear()
        self._client.produce(topic, value, key, partition)
        self._client.flush(PATIENCE)
        return list(self._failures)

    def send_offsets(self, offset: TopicPartition, metadata: Any) -> Seen:
        self._client.send_offsets_to_transaction([offset], metadata, PATIENCE)
        return None

    def end(self, *, commits: bool) -> Seen:
        (self._client.commit_transaction if commits else self._client.abort_transaction)(PATIENCE)
        return None

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self._failures.append(error.name())


class _Member:
    """Of a group. It owns what it is assigned, and reads nothing of it."""

    def __init__(self, clients: Clients, topic: str, group: str) -> None:
        self.owned: set[int] = set()
        self.heard = False
        """Whether there was an assignment since this was set."""
        self.consumer = clients.group_consumer(group, group)
        self.consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.heard = True
        there = [TopicPartition(it.topic, it.partition, 0) for it in partitions]
        consumer.incremental_assign(there)
        consumer.pause(there)
        self.owned |= {it.partition for it in partitions}

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self.owned -= {it.partition for it in partitions}


def _told(call: Callable[[], Seen]) -> Seen:
    try:
        return as_raised(call)
    except KafkaException as error:
        cause = error.args[0]
    may = {"fatal": cause.fatal(), "must abort": cause.txn_requires_abort(), "try again": cause.retriable()}
    return {"error": cause.name(), "says": [word for word, said in may.items() if said]}
