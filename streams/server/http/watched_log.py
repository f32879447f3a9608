"""The events of logs that an address asks for, as they are handled: the source of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from streams.history.recorded_event import NamespacePartition
from streams.kafka.messages import LogEvent
from streams.server.access.principal import Principal
from streams.server.access.seal import Seal
from streams.server.http.answers import POSITION, position
from streams.server.http.logged_events import LoggedEvents, SharedLogEvent, read_events
from streams.server.http.parts import ServerParts
from streams.server.http.permitted_rows import hidden_keys
from streams.server.http.shared_stream import Batch, Begin, First
from streams.server.http.stream_text import StreamEvent

ABOUT: Final = "events"
NEAR: Final = 1_000
"""A client that is no further behind shares the stream: until then it reads alone, at its own pace."""
Places = dict[NamespacePartition, int]
ReadsEvents = Callable[[NamespacePartition, int, int], LoggedEvents]
"""The next events of a partition, behind a sequence and up to another one."""


@dataclass(frozen=True)
class AskedEvents:
    """None: any. `correlation` is the id of a root event, which finds that event too. `principal` is of all who share it."""

    namespaces: tuple[str, ...]
    key: str | None
    event_type: str | None
    outcome: str | None
    correlation: str | None
    principal: Principal

    def wants(self, it: LogEvent) -> bool:
        event = it.event
        return (
            self.event_type in (None, event.data.event_type)
            and self.outcome in (None, it.outcome)
            and (self.correlation is None or self.correlation in (event.correlation, event.id))
        )


class WatchedLog:
    """In order per partition. The place is the sequence in each partition, so any server can continue it."""

    def __init__(self, parts: ServerParts, asked: AskedEvents) -> None:
        self._parts, self._asked = parts, asked
        self._kinds = kinds_for(asked.principal, asked.namespaces)
        self._seal = seal_for(parts, asked.principal, asked.namespaces)
        self._at = self._ends()

    def _ends(self) -> Places:
        model, key = self._parts.model, self._asked.key
        if key is not None:
            partitions = [model.partition_of(name, key) for name in self._asked.namespaces]
        else:
            partitions = model.partitions(self._asked.namespaces)
        return {at: position(model, self._kinds, at) for at in partitions}

    def is_behind(self) -> bool:
        return self._parts.model.waits is None and self._ends() != self._at

    def is_far_behind(self) -> bool:
        return self.is_behind() and sum(self._ends().values()) - sum(self._at.values()) > NEAR

    def advance(self) -> Batch:
        ends = self._ends()
        if ends.keys() != self._at.keys() or any(end < self._at[at] for at, end in ends.items()):  # another log
            self._at = ends
            return Batch((), self._place(ends), reset=True)
        read = self._parts.new_events.behind if self._asked.key is None else self._alone
        return Batch(self._read(self._at, ends, read), self._place(self._at))

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        held.close()  # a log does not change: no moment of it is needed
        ends = self._ends()
        at = dict.fromkeys(ends, 0) if begin.how in ("beginning", "reset") else places_in(begin.place)
        if begin.how != "now" and sum(ends.values()) - sum(at.values()) > NEAR:
            alone = self._pieces(at, ends, reset=begin.how == "reset")
            return Batch((), self._place(self._at)), First(alone, Begin("place", place_of(ends)))
        before = dict(self._at)
        try:
            batch = self._advance_to(ends)
        except BaseException:
            self._at = before  # nobody is told what was read
            raise
        if begin.how == "now" or at.keys() != self._at.keys():
            return batch, First(iter([[StreamEvent("", b"", self._place(self._at))]]))
        return batch, First(self._pieces(at, dict(self._at), reset=begin.how == "reset"))

    def _advance_to(self, ends: Places) -> Batch:
        batch = self.advance()
        while not batch.reset and any(self._at[at] < end for at, end in ends.items()):
            more = self.advance()
            batch = Batch([*batch.events, *more.events], more.place, more.reset)
        return batch

    def _pieces(
        self, at: Places, ends: Mapping[NamespacePartition, int], *, reset: bool
    ) -> Iterator[Sequence[StreamEvent]]:
        if reset:
            yield [StreamEvent("reset", b"{}")]
        yield [StreamEvent("", b"", self._place(at))]
        while any(at[each] < end for each, end in ends.items()):
            yield self._read(at, ends, self._alone)

    def _alone(self, partition: NamespacePartition, after: int, end: int) -> LoggedEvents:
        """What is behind a place of its own, or of one key."""
        return read_events(self._parts.model, partition, after, end, self._asked.key)

    def _read(self, at: Places, ends: Mapping[NamespacePartition, int], read: ReadsEvents) -> list[StreamEvent]:
        """The next events up to these ends; moves the places."""
        found, upto = list[SharedLogEvent](), Places()
        for partition, end in ends.items():
            if at[partition] < end:
                some, last = read(partition, at[partition], end)
                found += [it for it in some if it.event.sequence <= end and self._asked.wants(it.event)]
                upto[partition] = min(end, last)
        wanted = sorted(found, key=lambda it: (it.event.recorded, it.event.namespace, it.event.partition, it.event.sequence))
        keys = ((it.event.namespace, it.event.event.key) for it in wanted)
        hidden = hidden_keys(self._parts, self._asked.principal, keys)
        told: list[StreamEvent] = []
        for it, data in wanted:
            at[it.namespace, it.partition] = it.sequence
            if (it.namespace, it.event.key) not in hidden:
                told.append(StreamEvent("", data, self._place(at)))
        at.update(upto)
        return told

    def _place(self, at: Places) -> str:
        return place_of(at) if self._seal is None else self._seal.sealed(place_of(at), ABOUT)


def seal_for(parts: ServerParts, principal: Principal, namespaces: Iterable[str]) -> Seal | None:
    """What seals the places of who sees some rows alone: they would tell how much happens to the others."""
    restricted = any(name in principal.only for name in namespaces)
    return Seal(parts.console_secret, "places of logs") if restricted else None


def kinds_for(principal: Principal, namespaces: Iterable[str]) -> tuple[str, ...]:
    """The topics that decide how far a stream is: who sees some rows is told of an event once its row is here, too."""
    return ("table", "log") if any(name in principal.only for name in namespaces) else ("log",)


def place_of(at: Mapping[NamespacePartition, int]) -> str:
    """Such as `order-0:12,order-1:40`."""
    return ",".join(f"{namespace}-{part}:{sequence}" for (namespace, part), sequence in sorted(at.items()))


def places_in(text: str) -> Places:
    """Of a text that `place_of` has made; empty for another one."""
    found = [POSITION.fullmatch(part) for part in text.split(",")]
    return {(it[1], int(it[2])): int(it[3]) for it in found if it is not None} if all(found) else {}
