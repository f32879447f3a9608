"""Transactions that hold up their readers: where, since when, whose, and what ends them (rule 33).

A read_committed reader stops before the first open transaction of a partition, and is told nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, TopicPartition

from streams.kafka.clients import Clients
from streams.kafka.fresh import Admin
from streams.kafka.offsets import Place, ends, stable_ends

if TYPE_CHECKING:
    from streams.kafka.writers import Writer

FIRST_RECORDS = 3.0
"""s for reading the first record of each transaction."""
OVERDUE = 15.0
"""s after its time-out by which a broker has ended a transaction: it looks every 10 s."""
UNSEEN = "the broker shows no producer with a transaction there"


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """`behind` counts the records from its first one on, which nobody can read. `timeout` in s.

    `hangs`: past its time-out, or no coordinator has it, so that only an operator ends it. Where `producer_id` is None,
    `unknown` says why.
    """

    topic: str
    partition: int
    first_offset: int
    behind: int
    since: datetime | None = None
    producer_id: int | None = None
    transactional_id: str | None = None
    timeout: float | None = None
    hangs: bool = False
    unknown: str = ""

    @property
    def place(self) -> Place:
        return self.topic, self.partition


def open_transactions(
    clients: Clients, admin: Admin, places: Sequence[Place], *, older: float = 0.0
) -> list[OpenTransaction]:
    """Of the places that are held up by one which is open for `older` s, in order. Raises BrokerError.

    For a thread without a running event loop. Takes a few seconds at most where a broker does not tell whose they are.
    """
    # The ends first: what is stable later, and less, is held up, and not just younger.
    end, stable = ends(admin, places), stable_ends(admin, places)
    held = {place: stable[place] for place in places if stable[place] < end[place]}
    begun = _begun(clients, held)
    now = datetime.now(UTC)
    old = [place for place in held if place not in begun or (now - begun[place]).total_seconds() >= older]
    asked = _asked(clients, old)
    still = stable_ends(admin, old)  # one that ended while we asked is unknown to its coordinator, and does not hang
    found = []
    for place in [place for place in old if still[place] == stable[place]]:
        first = OpenTransaction(*place, stable[place], end[place] - stable[place], begun.get(place))
        found += _of_place(first, asked[place], now)
    return sorted(found, key=lambda it: (it.topic, it.partition, it.first_offset))


def _asked(clients: Clients, places: Sequence[Place]) -> dict[Place, list[Writer] | str]:
    if not places:
        return {}
    from streams.kafka.writers import writers  # seldom needed, and its import takes longer than a short command

    return writers(clients, places)


def _of_place(first: OpenTransaction, asked: list[Writer] | str, now: datetime) -> list[OpenTransaction]:
    """`first` is what is known without asking."""
    if isinstance(asked, str) or not asked:
        why = asked if isinstance(asked, str) else UNSEEN
        return [OpenTransaction(*first.place, first.first_offset, first.behind, first.since, unknown=why)]
    end = first.first_offset + first.behind
    return [
        _of_writer(first, writer, end, now) for writer in asked if first.first_offset <= writer.first_offset < end
    ]


def _of_writer(first: OpenTransaction, writer: Writer, end: int, now: datetime) -> OpenTransaction:
    offset, known = writer.first_offset, writer.coordinated
    since = first.since if offset == first.first_offset else None
    name = known.transactional_id if known is not None else None
    if known is None or first.place not in known.places:  # its coordinator has none here, or a later one elsewhere
        hangs, timeout = writer.all_asked, None
    else:
        since, timeout = known.started or since, known.timeout
        age = (now - since).total_seconds() if since is not None else 0.0
        hangs = known.ongoing and age > timeout + OVERDUE
    return OpenTransaction(*first.place, offset, end - offset, since, writer.producer_id, name, timeout, hangs)


def _begun(clients: Clients, offsets: Mapping[Place, int]) -> dict[Place, datetime]:
    """The times of the records at these offsets, where they can be read; our topics date records by the broker's clock."""
    found: dict[Place, datetime] = {}
    if not offsets:
        return found
    deadline = time.monotonic() + FIRST_RECORDS
    consumer = clients.consumer("retold-transactions", read_uncommitted=True)
    try:
        consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])
        left = set(offsets)
        while left and time.monotonic() < deadline:
            for message in consumer.consume(100, 0.02):
                place = message.topic() or "", message.partition() or 0
                if message.error() is None and place in left:
                    kind, at = message.timestamp()
                    if kind != TIMESTAMP_NOT_AVAILABLE:
                        found[place] = datetime.fromtimestamp(at / 1000, UTC)
                left.discard(place)
    finally:
        consumer.close()
    return found


def sentence(it: OpenTransaction, address: str, prefix: str) -> str:
    """For a person: where it is, since when, what waits, whose it is, and what ends it.

    `address` is the broker's, for the command; the transactional ids of workers begin with `prefix`.
    """
    since = f" that has been open since {it.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if it.since is not None else ""
    records = f"{it.behind:,} record{'' if it.behind == 1 else 's'} from there on cannot be read"
    return (
        f"{it.topic}-{it.partition} waits at offset {it.first_offset} for a transaction{since or ' that is open'}: {records}. "
        f"{_ending(it, address, prefix)}"
    )


def _ending(it: OpenTransaction, address: str, prefix: str) -> str:
    tool = f"kafka-transactions.sh --bootstrap-server {address}"
    where = f"--topic {it.topic} --partition {it.partition}"
    if it.producer_id is None:
        return (
            f"Whose it is, is not known: {it.unknown}. `{tool} describe-producers {where}` tells it. That producer ends it by "
            "commit or abort, or the broker does after the producer's time-out."
        )
    name = f" (transactional id {it.transactional_id})" if it.transactional_id else ""
    whose = f"It is producer {it.producer_id}'s{name}"
    if it.hangs:
        unless = "" if it.transactional_id else ", unless this user may not see its transactional id"
        return f"{whose}, and it hangs{unless}: an operator ends it with `{tool} abort {where} --start-offset {it.first_offset}`."
    timeout = "its time-out" if it.timeout is None else f"its time-out of {it.timeout:g} s"
    if (it.transactional_id or "").startswith(f"{prefix}retold."):
        return f"{whose}, a worker of retold: that worker ends it when it starts again, or the broker does after {timeout}."
    return f"{whose}, which ends it by commit or abort, or the broker does after {timeout}."
