"""What must hold of the topics when a run is over: each event once, in order, and everything explained by the handlers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Message

from streams.data import EventData, namespace_of
from streams.engine.duplicates import DEFAULT_WINDOW
from streams.engine.envelope import log_header, parked_header
from streams.engine.records import ACCEPTED, QUARANTINED
from streams.history.verification.verification import MOVED
from streams.history.verification.verification_sequences import BEFORE_CAUSE
from streams.kafka.bounded_read import headers_of
from streams.kafka.cluster_verification import verify_cluster
from streams.kafka.offsets import ends, stable_ends
from streams.kafka.topics import topic_names
from tests.chaos import card_company
from tests.chaos.chaos_publisher import AGAIN, FIRST, MISPLACED, SOURCE, Published
from tests.chaos.pauses import HandledRecord, Place
from tests.support.inbox import Foreign

SHOWN = 5
"""Of each kind, in words."""


@dataclass
class Findings:
    """Each is a sentence. All empty: the run is as it should be. `events` were handled."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misordered: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    events: int = 0
    handled: dict[Place, list[HandledRecord]] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    """Of each event that was published: when, and when it was handled, in s since 1970."""

    def all(self) -> Iterator[str]:
        """The first of each kind."""
        for name in ("lost", "doubled", "misordered", "unequal"):
            yield from (f"{name}: {text}" for text in getattr(self, name)[:SHOWN])


class Logged(NamedTuple):
    """A log record of a namespace."""

    at: Place
    key: str
    event_id: str
    source: str
    offset: int
    outcome: str
    handled: float


class ChaosOracle:
    """`foreign` reads the topics of the application as somebody would who knows nothing of workers."""

    def __init__(
        self, foreign: Foreign, published: Sequence[Published], confirmed: Mapping[int, tuple[int, int]], calls: Path,
        said: Callable[[EventData], str] = repr, *, timers_fire: bool = False,
    ) -> None:  # fmt: skip
        """In `calls`, gateways were asked what is `said` of their requests. `timers_fire`: workers run, and timers come due."""
        self._foreign, self._published, self._confirmed, self._calls, self._said = foreign, published, confirmed, calls, said
        self._spaces = [space.name for space in foreign.app.namespaces]
        self._findings, self._timers_fire = Findings(), timers_fire

    def examine(self) -> Findings:
        """To be called when nothing is handled any more."""
        for space in self._spaces:
            self._examine(space)
        self._look_for_open_transactions()
        self._examine_calls()
        self._verify()
        return self._findings

    def _examine(self, space: str) -> None:
        logged = [_logged(space, it) for it in self._foreign.read(f"{space}-log")]
        arrived = {(it.partition(), it.offset()): it.timestamp()[1] / 1000 for it in self._foreign.read(space)}
        self._findings.events += len(logged)
        for it in logged:
            record = HandledRecord(it.offset, arrived.get((it.at[1], it.offset), it.handled), it.handled)
            self._findings.handled.setdefault(it.at, []).append(record)
        counts = Counter((it.source, it.event_id, it.key) for it in logged)
        self._findings.doubled += [f"{name} is {times} times in the log of {space}" for name, times in counts.items() if times > 1]
        self._examine_published(space, logged)

    def _examine_published(self, space: str, logged: Sequence[Logged]) -> None:
        """An event is in the log, or set aside; what nobody can handle is set aside."""
        ours = {it.event_id: it for it in self._published if it.namespace == space and it.how in (FIRST, MISPLACED)}
        found = {it.event_id: it for it in logged if it.event_id in ours and it.source == SOURCE}
        names, places = self._set_aside(space)
        for number, it in enumerate(self._published):
            if it.namespace != space or it.how == AGAIN:
                continue
            if it.event_id in found and it.how in (FIRST, MISPLACED):
                self._findings.waits.append((it.at, found[it.event_id].handled))
            elif (at := self._confirmed.get(number)) is not None and at not in places and it.event_id not in names:
                self._findings.lost.append(f"{it.event_id} of {it.key} ({it.how}) was confirmed at {at}, and is nowhere in {space}")
        self._examine_order(space, {name: it for name, it in ours.items() if it.how == FIRST}, found)

    def _examine_order(self, space: str, ours: Mapping[str, Published], found: Mapping[str, Logged]) -> None:
        """Of each key: as they were published."""
        wanted, seen = dict[str, list[str]](), dict[str, list[str]]()
        for name, it in ours.items():
            if name in found:
                wanted.setdefault(it.key, []).append(name)
        for name, logged in found.items():
            if name in ours:
                seen.setdefault(logged.key, []).append(name)
        for key, names in wanted.items():
            if names != seen[key]:
                self._findings.misordered.append(f"{key} of {space} was published as {names[:20]}, and handled as {seen[key][:20]}")

    def _set_aside(self, space: str) -> tuple[set[str], set[tuple[int, int]]]:
        """The ids of what is parked or quarantined now, and its partitions and offsets in the inbox."""
        last = {(it.partition() or 0, it.key() or b""): it for it in self._foreign.read(f"{space}-parked")}
        now = {at: it for at, it in last.items() if it.value()}
        places = {(partition, int(key)) for partition, key in now if key.isdigit()}
        return {dict(headers_of(it)).get("ce_id", b"").decode() for it in now.values() if not is_quarantined(it)}, places

    def _examine_calls(self) -> None:
        """Each request was made, always with the same data, and nothing else was; that it was answered once is verified below."""
        requests = {gateway.data.event_type: gateway.data for gateway in self._foreign.app.gateways}
        if not requests:
            return
        taken: dict[str, str] = {}
        for call in card_company.read(self._calls):
            if taken.setdefault(call.reference, call.data) != call.data:
                self._findings.unequal.append(f"{call.reference} was called with {taken[call.reference]}, then with {call.data}")
        asked: dict[str, str] = {}
        for space in {namespace_of(name) for name in requests}:
            for message in self._foreign.read(f"{space}-log"):
                said = dict(headers_of(message))
                if said["ce_type"].decode() in requests and log_header(headers_of(message)).outcome == ACCEPTED:
                    data = self._foreign.codec.decode(message.value() or b"")
                    asked[said["ce_id"].decode()] = self._said(data)  # an emission's id is its reference
        self._findings.lost += [f"the request {it} was never called" for it in asked.keys() - taken.keys()]
        self._findings.unequal += [f"{it} was called, and nobody asked for it" for it in taken.keys() - asked.keys()]
        self._findings.unequal += [
            f"{it} was called with {taken[it]}, and {asked[it]} was asked for"
            for it in asked.keys() & taken.keys()
            if asked[it] != taken[it]
        ]

    def _look_for_open_transactions(self) -> None:
        admin, prefix = self._foreign.clients.admin(), self._foreign.config.prefix
        counts = self._foreign.config.partitions
        places = [(topic, at) for space in self._spaces for topic in topic_names(prefix, space)[1:] for at in range(counts)]
        stable, end = stable_ends(admin, places), ends(admin, places)
        self._findings.unequal += [
            f"a transaction is open in {topic}-{at} at {stable[topic, at]}"
            for topic, at in places
            if stable[topic, at] != end[topic, at]
        ]

    def _verify(self) -> None:
        """As `retold verify` does."""
        foreign = self._foreign
        report = verify_cluster(foreign.clients, foreign.config.prefix, foreign.app, foreign.codec, window=DEFAULT_WINDOW)
        self._findings.unequal += [
            f"{it.where} {it.kind.name}: {it.expected}, found {it.found}" for it in report.findings
        ]
        excused = {BEFORE_CAUSE, MOVED} if self._timers_fire else {BEFORE_CAUSE}  # one of the faults is a clock that is ahead
        not_checked = [it for it in report.not_checked if it.what not in excused]
        self._findings.unequal += [f"not checked: {it.what}, {it.count} from {it.first} on" for it in not_checked]


def is_quarantined(message: Message) -> bool:
    """Of a record that is set aside."""
    return parked_header(headers_of(message)).status == QUARANTINED


def _logged(space: str, message: Message) -> Logged:
    pairs = headers_of(message)
    header, said = log_header(pairs), dict(pairs)
    return Logged(
        (space, message.partition() or 0), (message.key() or b"").rpartition(b"@")[0].decode(), header.id or said["ce_id"].decode(),
        said.get("ce_source", b"").decode(), header.offset, header.outcome, message.timestamp()[1] / 1000,
    )  # fmt: skip
