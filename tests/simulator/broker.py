"""A Kafka in memory, as far as a worker sees one: partitions with control records, transactions, groups that rebalance.

One thread, no network: what is asked is answered at once. Offsets, stable ends and rebalances are Kafka's; time is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from tests.simulator.time import VirtualClock

TopicAndPartition = tuple[str, int]
OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


@dataclass(eq=False)
class Transaction:
    """`offsets` are a group's, true once it is committed."""

    producer: Any
    began: float
    state: str = OPEN
    partitions: set[TopicAndPartition] = field(default_factory=set)
    """That its coordinator knows of: they get its end, also if no record was appended to them."""
    has_offsets: bool = False
    """Whether its coordinator knows that a group's offsets belong to it."""
    offsets: dict[tuple[str, TopicAndPartition], int] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether its coordinator has heard of it: else it has no end, and no timeout."""
        return bool(self.partitions) or self.has_offsets


class Entry(NamedTuple):
    """A record at its offset; a control record has no key, value or headers, and nobody is given it."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, Any]]
    timestamp: int
    transaction: Transaction | None
    control: bool = False


GAP = Entry(None, None, [], 0, None, control=True)
"""Where a record was."""


@dataclass(eq=False)
class Partition:
    entries: list[Entry] = field(default_factory=list)
    _over: int = 0
    """Before it no transaction is open."""
    low: int = 0
    """The first offset that is kept; records before it were deleted."""

    @property
    def end(self) -> int:
        return len(self.entries)

    @property
    def stable(self) -> int:
        """Before the first record of a transaction that is open."""
        entries, over = self.entries, self._over
        if over == len(entries):  # as a rule: it is asked for hundreds of thousands of times in a run
            return over
        over = max(over, self.low)
        while over < len(entries) and ((it := entries[over].transaction) is None or it.state != OPEN):
            over += 1
        self._over = over
        return over

    def compact(self) -> None:
        """Of each key the last committed record is kept; others leave gaps in the offsets."""
        last: dict[bytes | None, int] = {}
        stable = self.stable
        for at, it in enumerate(self.entries[:stable]):
            if not it.control and (it.transaction is None or it.transaction.state == COMMITTED):
                if (before := last.get(it.key)) is not None:
                    self.entries[before] = GAP
                last[it.key] = at

    def end_of(self, transactional_id: str | None, state: str) -> None:
        """The end of a transaction of this id has come: it ends a hanging one too (KIP-664)."""
        for it in self.entries[self.stable :]:
            open_one = it.transaction
            if open_one is not None and open_one.state == OPEN and open_one.producer._id == transactional_id:
                open_one.state = state

    def committed(self) -> Iterator[tuple[int, Entry]]:
        """Offset and record of all that a read_committed reader is given."""
        return self.read(0, committed=True)

    def readable(self, offset: int, *, committed: bool) -> tuple[int, Entry] | None:
        """The first record from `offset` on that a reader is given."""
        return next(self.read(offset, committed=committed), None)

    def read(self, offset: int, *, committed: bool) -> Iterator[tuple[int, Entry]]:
        """Offset and record of all that a reader is given from `offset` on, up to where it may read now."""
        entries = self.entries
        for at in range(max(offset, self.low), self.stable if committed else self.end):
            it = entries[at]
            if not it.control and not (committed and it.transaction is not None and it.transaction.state == ABORTED):
                yield at, it


@dataclass(eq=False)
class Group:
    """Members that share partitions as the cooperative protocol does: what moves is revoked first, and assigned later."""

    generation: int = 0
    members: list[Any] = field(default_factory=list)
    target: dict[int, Any] = field(default_factory=dict)
    """By partition, the member that is to have it."""

    def rebalance(self, count: int) -> None:
        """Evenly, and no more moves than that needs."""
        self.generation += 1
        kept = {at: member for at, member in self.target.items() if member in self.members}
        self.target = {}
        if not self.members:
            return
        most = -(-count // len(self.members))
        for at in range(count):
            member = kept.get(at)
            if member is None or self._count(member) >= most:
                member = min(self.members, key=self._count)
            self.target[at] = member

    def _count(self, member: Any) -> int:
        return sum(it is member for it in self.target.values())


class Metadata(NamedTuple):
    """What a member knew of its group when it was asked."""

    group: str
    member: Any
    generation: int


class MemoryBroker:
    """Topics, transactional producers and groups, by name."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.topics: dict[str, list[Partition]] = {}
        self.ids: dict[str, str] = {}
        """By topic; one that is made again has another."""
        self.describes_nothing = self.lists_nothing = False
        """Whether it leaves unanswered what topics there are, and what their offsets are."""
        self.groups: dict[str, Group] = {}
        self.tells_members = False
        self.committed: dict[tuple[str, TopicAndPartition], int] = {}
        self.producers: dict[str, Any] = {}
        """By transactional id, the one that was initialized last."""
        self.settings: dict[str, dict[str, str]] = {}
        """By topic; who asks for those of another one may not see them."""
        self.largest: dict[str, int] = {}
        """Bytes that a record's value may have, by topic; elsewhere as many as anyone wants."""

    def takes(self, topic: str, value: bytes | None) -> bool:
        """Whether a record is not larger than its topic allows."""
        return len(value or b"") <= self.largest.get(topic, 2**30)

    def create(self, names: Iterable[str], partitions: int) -> None:
        """Also in place of topics of these names that were there before."""
        for name in names:
            self.topics[name] = [Partition() for _ in range(partitions)]
            self.ids[name] = f"{name} {len(self.ids)} at {self.clock.monotonic()}"

    def partition(self, topic_partition: TopicAndPartition) -> Partition:
        return self.topics[topic_partition[0]][topic_partition[1]]

    def append(
        self,
        topic_partition: TopicAndPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, Any]] | None,
        transaction: Transaction | None,
    ) -> int:
        """Gives its offset."""
        partition = self.partition(topic_partition)
        timestamp = self.clock.now() // 1000
        sent = [(name, text.encode() if type(text) is str else text) for name, text in headers or ()]
        partition.entries.append(Entry(key, value, sent, timestamp, transaction))
        if transaction is not None:
            transaction.partitions.add(topic_partition)
        return partition.end - 1

    def end(self, transaction: Transaction, state: str) -> None:
        """With a control record in each of its partitions."""
        transaction.state = state
        for topic_partition in sorted(transaction.partitions):
            self.partition(topic_partition).end_of(transaction.producer._id, state)
            self.partition(topic_partition).entries.append(Entry(None, None, [], self.clock.now() // 1000, None, control=True))
        if state == COMMITTED:
            self.committed |= transaction.offsets

    def offset(self, group: str, topic_partition: TopicAndPartition) -> int | None:
        """What was committed last; None before anything was. Raises KafkaException while a transaction says otherwise."""
        open_ones = (it.transaction for it in self.producers.values() if it.transaction is not None)
        if any((group, topic_partition) in it.offsets for it in open_ones if it.state == OPEN):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "an open transaction has sent an offset"))
        return self.committed.get((group, topic_partition))

    def join(self, name: str, member: Any, count: int) -> None:
        group = self.groups.setdefault(name, Group())
        group.members.append(member)
        group.rebalance(count)

    def leave(self, name: str, member: Any, count: int) -> None:
        group = self.groups[name]
        if member in group.members:
            group.members.remove(member)
            group.rebalance(count)

    def expire(self, name: str, number: int) -> None:
        """The session of a member is over; it learns so at its next poll."""
        group = self.groups[name]
        count = len(group.target)
        if number < len(group.members):
            del group.members[number]
            group.rebalance(count)

    def check(self, metadata: Metadata) -> None:
        """Raises KafkaException if the member is not in the group's present generation (rule 4)."""
        group = self.groups[metadata.group]
        if metadata.member not in group.members:
            raise refusal(KafkaError.UNKNOWN_MEMBER_ID)
        if metadata.generation != group.generation:
            raise refusal(KafkaError.ILLEGAL_GENERATION)


def refusal(code: int, *, fatal: bool = False) -> KafkaException:
    """As librdkafka reports it within a transaction."""
    return KafkaException(KafkaError(code, fatal=fatal, txn_requires_abort=not fatal))


def spans(broker: MemoryBroker, topics: Iterable[str]) -> Mapping[TopicAndPartition, Partition]:
    return {(topic, at): partition for topic in topics for at, partition in enumerate(broker.topics[topic])}
