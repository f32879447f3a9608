"""Whether each derived event was said by its cause, and whether each that was said is anywhere.

The two meet in any order; only those that have not met yet are kept, as hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from streams.data import namespace_of
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_events import Saying
from streams.history.verification.verification_findings import (
    CAUSE,
    NOT_FOUND,
    SAYS,
    FindingKind,
    Findings,
    offset_name,
)
from streams.history.verification.verification_records import KnownIds, PartitionOf, counted


class SaidEvent(msgspec.Struct, gc=False):
    """What a cause's handler says follows from it. `cause` is the sequence in the cause's log.

    One that is not `due` belongs to a transaction that may not be readable as a whole yet. `doubtful`: a record is missing before
    its cause, which may be found to be one of the same key that an operator deleted.
    """

    saying: Saying
    at: NamespacePartition
    cause: int
    cause_id: int
    due: bool
    doubtful: bool = False


class FoundEvent(msgspec.Struct, gc=False):
    """A derived event where it is. Without a `saying` its data could not be read. `number` is its sequence, or inbox offset.

    One that is not `due` may have come meanwhile, and its cause too.
    """

    saying: Saying | None
    id: int
    cause_id: int
    event_type: str
    at: NamespacePartition
    number: int
    is_offset: bool
    due: bool = True

    @property
    def offset(self) -> int | None:
        return self.number if self.is_offset else None

    @property
    def where(self) -> str:
        return offset_name(self.at, self.number) if self.is_offset else position_name(*self.at, self.number)


class EmissionCheck:
    """Of all logs together."""

    def __init__(self, findings: Findings, ids: Mapping[NamespacePartition, KnownIds], partition_of: PartitionOf) -> None:
        self._findings, self._ids, self._partition_of = findings, ids, partition_of
        self._said: dict[int, SaidEvent] = {}
        self._found: dict[int, FoundEvent] = {}
        self._unread: set[int] = set()
        """Causes of events in a log, or due, whose data could not be read."""
        self._quiet = True
        self._doubtful: list[tuple[SaidEvent, FoundEvent]] = []
        self.opaque: set[int] = set()
        """Causes of which it is not known what they say."""
        self.of_steps: set[int] = set()
        """Those among them whose timers steps of corrections have taken away, or scheduled."""
        self._published_timers: set[NamespacePartition] = set()
        """Where an earlier version has published timers that are handled in place now."""

    def is_as_written(self, at: NamespacePartition) -> bool:
        """Whether this code emits as often as the one that wrote a log."""
        return at not in self._published_timers and SAYS not in self._findings.counts

    def was_found(self, saying: Saying) -> bool:
        """Whether what a cause says was found before, just as it says. Then both are done with."""
        found = self._found.get(saying.lineage)
        if found is None or saying.own or found.saying is None or found.saying.content != saying.content:
            return False
        del self._found[saying.lineage]
        return True

    def was_said(self, saying: Saying) -> bool:
        """Whether what was found was said before, just as it is. Then both are done with."""
        said = self._said.get(saying.lineage)
        if said is None or said.saying.own or said.saying.content != saying.content:
            return False
        del self._said[saying.lineage]
        return True

    def say(self, said: SaidEvent) -> None:
        lineage = said.saying.lineage
        if lineage in self._found:
            self._compare(said, self._found.pop(lineage))
        else:
            self._said[lineage] = said

    def find(self, found: FoundEvent) -> None:
        """In a log: each event is there once."""
        if found.saying is None:
            self._unread.add(found.cause_id)
            return
        lineage = found.saying.lineage
        if lineage in self._said:
            self._compare(self._said.pop(lineage), found)
        else:
            self._found[lineage] = found

    def _compare(self, said: SaidEvent, found: FoundEvent) -> None:
        there, here = said.saying, found.saying
        if here is None:
            return
        if there.own and not here.own:
            self._published_timers.add(said.at)
            if here.content[0] == there.content[0]:
                return
        if here.content == there.content:
            return
        if said.doubtful or not there.at_once:  # a correction may have given the timer another time
            self._doubtful.append((said, found))
        else:
            self._differ(said, found)

    def _differ(self, said: SaidEvent, found: FoundEvent) -> None:
        there, here = said.saying, found.saying
        assert here is not None
        what = "the same data under other headers, such as another time" if here.content[0] == there.content[0] else "other data"
        self._add(SAYS, found, f"{there.event_type} as {position_name(*said.at, said.cause)} emits it, byte for byte", what)

    def finish(self, waiting: Iterable[FoundEvent], *, incomplete: frozenset[NamespacePartition], quiet: bool) -> None:
        """`waiting` are derived events that are in no log: in an inbox, due, parked or quarantined.

        `incomplete` are the logs whose records could not all be read. `quiet`: nothing was handled meanwhile.
        """
        self._quiet = quiet
        elsewhere: dict[int, FoundEvent] = {}
        for found in waiting:
            if found.saying is None:
                self._unread.add(found.cause_id)
                continue
            lineage = found.saying.lineage
            said = self._said.pop(lineage, None)
            if said is not None:
                self._compare(said, found)
            elif lineage not in self._found:
                elsewhere.setdefault(lineage, found)
        self._settle_doubts()
        left = [*self._found.values(), *elsewhere.values()]
        known = counted(self._ids.values(), {it.id for it in left} | {it.cause_id for it in left})
        surplus = set[int]()
        for found in self._found.values():
            if known.get(found.id, 0) < 2:
                surplus |= self._unsaid(found, known, incomplete)
        for found in elsewhere.values():
            if found.id not in known:  # else it was handled, and this is its request, its timer or a duplicate
                surplus |= self._unsaid(found, known, incomplete)
        for said in self._said.values():
            self._missing(said, surplus, incomplete)

    def _settle_doubts(self) -> None:
        for said, found in self._doubtful:
            if said.cause_id in self.opaque:
                self._findings.unchecked("events whose cause could not be decided again", found.where)
            else:
                self._differ(said, found)

    def _unsaid(self, found: FoundEvent, known: Mapping[int, int], incomplete: frozenset[NamespacePartition]) -> set[int]:
        """Report it. Returns its cause, if that says otherwise."""
        if found.cause_id in self.opaque:
            self._findings.unchecked("events whose cause could not be decided again", found.where)
        elif found.cause_id in known:
            self._add(SAYS, found, "an event that its cause emits", f"{found.event_type}, which it does not emit")
            return {found.cause_id}
        elif incomplete:
            self._findings.unchecked("events whose cause may be among the records that could not be read", found.where)
        elif found.due or self._quiet:
            self._add(CAUSE, found, f"the cause of this {found.event_type} in a log", "none")
        return set()

    def _add(self, kind: FindingKind, found: FoundEvent, expected: str, there: str) -> None:
        self._findings.add(kind, found.at, expected, there, sequence=found.number, offset=found.offset)

    def _missing(self, said: SaidEvent, surplus: set[int], incomplete: frozenset[NamespacePartition]) -> None:
        if not said.due:
            return
        namespace = namespace_of(said.saying.event_type)
        to = namespace, self._partition_of(namespace, said.saying.key.encode())
        if to in incomplete or said.cause_id in self._unread or said.cause_id in self.opaque:
            what = "emissions that may be among the records that could not be read"
            if said.cause_id in self.of_steps and not said.saying.at_once and to not in incomplete:
                what = "timers that corrections have taken away, or given another time"
            self._findings.unchecked(what, position_name(*said.at, said.cause))
            return
        kind = SAYS if said.cause_id in surplus else NOT_FOUND
        self._findings.add(
            kind, said.at, f"{said.saying.event_type}, which it emits, in the log or inbox of {to[0]}-{to[1]}, due or set aside",
            "it is nowhere", sequence=said.cause,
        )  # fmt: skip
