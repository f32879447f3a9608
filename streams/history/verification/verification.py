"""Verification of a recorded past: that all of it is there, unaltered, and what its handlers make of it.

It knows no Kafka. It is given the records of each partition in order: first those of the tables, parked and due topics, then
those of logs and inboxes, of all partitions in any mixture. It keeps rows and digests, no events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.app import App
from streams.codec import AvroCodec
from streams.data import namespace_of
from streams.engine.duplicates import DEFAULT_WINDOW
from streams.engine.marker import Marker
from streams.engine.records import QUARANTINED, UNANSWERED, Headers, QueuePosition
from streams.errors import StreamsError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_decisions import CommonParts, PartitionChecks
from streams.history.verification.verification_digests import LogDigests
from streams.history.verification.verification_emissions import EmissionCheck, FoundEvent
from streams.history.verification.verification_events import EventReader, StoredEvent
from streams.history.verification.verification_findings import (
    DELETED,
    END,
    OPEN,
    UNREADABLE,
    Findings,
    VerificationReport,
    VerifiedCounts,
    offset_name,
)
from streams.history.verification.verification_inbox import InboxCheck, InboxEntry
from streams.history.verification.verification_log import LogCheck
from streams.history.verification.verification_markers import MarkerCheck, Recount
from streams.history.verification.verification_pending import PendingCheck, SetAsideEvent
from streams.history.verification.verification_records import KnownIds, PartitionOf, StoredRecord, counted
from streams.history.verification.verification_rows import RowCheck, TableRow
from streams.history.verification.verification_sequences import SequenceCheck

MOVED = "what waits in partitions where events were handled meanwhile"
NO_DIGESTS: Mapping[NamespacePartition, LogDigests] = {}


class PartitionStart(NamedTuple):
    """`log_begins`: the log has its first record, unless that was lost. `inbox` is the first offset that the inbox has.

    An operator knows that the inbox begins at `accepted`, or before.
    """

    log_begins: bool = True
    inbox: int = 0
    accepted: int = 0


class _Part(NamedTuple):
    at: NamespacePartition
    log: LogCheck
    inbox: InboxCheck
    pending: PendingCheck
    marker: MarkerCheck
    rows: RowCheck


class Verification:
    """Of all namespaces of an application. `window` is how many ids its workers remember, by partition.

    `digests` are made of the logs, if given.
    """

    def __init__(
        self,
        app: App,
        codec: AvroCodec,
        starts: Mapping[NamespacePartition, PartitionStart],
        partition_of: PartitionOf,
        *,
        window: int = DEFAULT_WINDOW,
        digests: Mapping[NamespacePartition, LogDigests] = NO_DIGESTS,
    ) -> None:
        self.findings = Findings()
        self._digests, self._starts = digests, starts
        self._gateways = {namespace_of(gateway.data.event_type) for gateway in app.gateways}
        handlers = ApplicationHandlers(app, codec)
        self._reader = reader = EventReader(handlers, codec)
        self._ids = {at: KnownIds() for at in starts}
        self._emissions = EmissionCheck(self.findings, self._ids, partition_of)
        common = CommonParts(self.findings, handlers, reader, self._emissions, window, partition_of)
        self._parts: dict[NamespacePartition, _Part] = {}
        for at, start in starts.items():
            marker = MarkerCheck(at, self.findings, app.name, sum(name == at[0] for name, _ in starts))
            pending = PendingCheck(at, self.findings, reader)
            checks = PartitionChecks(
                SequenceCheck(at, self.findings, begins=start.log_begins),
                marker,
                InboxCheck(at, self.findings, marker, start.inbox, pending.by_reference),
                RowCheck(at, self.findings, codec, app.namespace(at[0])),
                pending,
                self._ids[at],
            )
            self._parts[at] = _Part(at, LogCheck(at, common, checks), checks.inbox, pending, marker, checks.rows)

    def marker(self, at: NamespacePartition, marker: Marker) -> None:
        self._parts[at].marker.take(marker)

    def row(self, at: NamespacePartition, key: str, row: TableRow) -> None:
        self._parts[at].rows.take(key, row)

    def parked(self, at: NamespacePartition, position: QueuePosition, value: bytes | None, headers: Headers) -> None:
        self._parts[at].pending.take_parked(position, value, headers)

    def due(self, at: NamespacePartition, name: str, value: bytes | None, headers: Headers) -> None:
        self._parts[at].pending.take_due(name, value, headers)

    def due_again(self, at: NamespacePartition, name: str) -> None:
        """The due topic got a record of this name after it was read."""
        self._parts[at].pending.touched.add(name)

    def log(self, at: NamespacePartition, record: StoredRecord) -> None:
        if self._digests:
            self._digests[at].take(record)
        self._parts[at].log.take(record)

    def inbox(self, at: NamespacePartition, record: StoredRecord) -> None:
        self._parts[at].inbox.take(record)

    def unreadable(self, at: NamespacePartition, expected: str, found: str) -> None:
        """A record of a table, a parked or a due topic that no worker wrote."""
        self.findings.add(UNREADABLE, at, expected, found)

    def deleted(self, at: NamespacePartition, topic: str, found: str) -> None:
        """The first records of a table, a parked or a due topic are gone."""
        self.findings.add(DELETED, at, f"{topic} from offset 0 on", found)

    def open_transaction(self, at: NamespacePartition, topic: str, offset: int, seconds: float) -> None:
        """A transaction that is not over after `seconds`: what it hides was not read."""
        found = f"one that is open: no reader gets what lies from offset {offset} on"
        self.findings.add(OPEN, at, f"{topic} without a transaction that is {seconds:.0f} s old", found)

    def report(
        self, moved: Collection[NamespacePartition] = (), hidden: Collection[NamespacePartition] = ()
    ) -> VerificationReport:
        """To be called once. In partitions that `moved`, events were handled meanwhile: what waits there is not of one moment.

        What `hidden` ones have at their ends could not be read.
        """
        for part in self._parts.values():
            part.log.finish(hidden=part.at in hidden)
            _check_ends(self.findings, part, self._starts[part.at], quiet=part.at not in moved)
        aside = {at: list(part.pending.set_aside()) for at, part in self._parts.items()}
        pending = {at: part.pending.pending() for at, part in self._parts.items()}
        waiting = [*self._set_aside(aside)]
        for at, part in self._parts.items():
            waiting += part.pending.timers_found(pending[at])
            waiting += self._unhandled(part)
            part.inbox.finish()
        incomplete = self._incomplete()
        self._emissions.finish(waiting, incomplete=incomplete, quiet=not moved)
        for at, part in self._parts.items():
            others = self._check_left(part, aside)
            exact, whole = at not in moved and at not in hidden, at not in incomplete
            excused = part.inbox.rejected | part.log.erased.keys()
            part.pending.check_calls(aside[at], pending[at], excused, exact=exact, whole=not part.log.hidden)
            part.pending.check_answers(counted(self._ids.values(), part.pending.strays), self._emissions.opaque, whole=whole)
            part.marker.compare(self._recount(part, aside[at], others, exact=exact))
            if at in moved:
                self.findings.unchecked(MOVED, f"{at[0]}-{at[1]}")
        found = self.findings
        return VerificationReport(
            [*found.all()], found.counts, found.not_checked(), self._counts(), otherwise_by_log=found.otherwise_by_log()
        )

    def _incomplete(self) -> frozenset[NamespacePartition]:
        """Logs that lack records for another reason than a loss, which is reported."""
        logs = {at: part.log for at, part in self._parts.items()}
        return frozenset(at for at, log in logs.items() if not log.is_whole and (not log.sequences.missing or log.sequences.erased))

    def _set_aside(self, aside: Mapping[NamespacePartition, list[SetAsideEvent]]) -> Iterator[FoundEvent]:
        """Compare what is set aside with its inbox. Returns the derived events among it."""
        for at, found in aside.items():
            for it in found:
                if it.header.status != UNANSWERED and not it.header.timer:
                    quarantined = it.header.status == QUARANTINED
                    self._parts[at].inbox.set_aside(it.header.offset, it.hash, quarantined=quarantined)
                if it.event is not None:
                    yield from self._derived(at, it.position.offset, it.event, it.value, in_place=it.header.timer > 0)

    def _unhandled(self, part: _Part) -> Iterator[FoundEvent]:
        """The derived events that lie in an inbox and are not handled yet."""
        for offset, record in part.inbox.unhandled.items():
            try:
                envelope = self._reader.wire.envelopes.read(record.headers)
                event = self._reader.read(record.value or b"", envelope, None, None)
            except StreamsError:  # whoever publishes may write what nobody can read
                continue
            yield from self._derived(part.at, offset, event, record.value or b"", due=False)

    def _derived(
        self, at: NamespacePartition, offset: int, it: StoredEvent, value: bytes, *, in_place: bool = False, due: bool = True
    ) -> Iterator[FoundEvent]:
        if it.cause is not None and it.request is None:
            saying = self._reader.recorded_saying(it, value, in_place=in_place)
            yield FoundEvent(saying, it.id, it.cause, saying.event_type, at, offset, is_offset=True, due=due)

    def _identity(self, at: NamespacePartition, offset: int, entry: InboxEntry) -> int:
        marker = self._parts[at].marker.last
        inboxes = [topic for topic in marker.topic_ids if topic.endswith(at[0])] if marker else []
        own = min(inboxes, key=len, default="")  # all have one prefix, and another namespace may end alike
        return entry.identity(marker.topic_ids.get(own, "") if marker else "", at[1], offset)

    def _check_left(self, part: _Part, aside: Mapping[NamespacePartition, list[SetAsideEvent]]) -> int | None:
        """Events that were handled and are neither in the log nor set aside: duplicates, or moved to another partition.

        Returns how many; None if that is not known.
        """
        position, log = part.inbox.position, part.log
        names = {offset: self._identity(part.at, offset, it) for offset, it in part.inbox.left() if offset < position}
        space = [at for at in self._parts if at[0] == part.at[0]]
        known: Collection[int] = counted((self._ids[at] for at in space), set(names.values()))
        if any(name not in known for name in names.values()):
            known = {*known, *self._waiting_ids(space, aside)}
        lost = [(offset, it) for offset, it in part.inbox.left() if offset < position and names[offset] not in known]
        for offset, it in lost:
            if log.is_whole or log.sequences.missing:
                part.inbox.lose(offset, it)
            else:
                self.findings.unchecked("inbox records whose log records could not be read", offset_name(part.at, offset))
        return len(names) if log.is_whole and part.inbox.is_whole and not lost else None

    def _waiting_ids(
        self, space: Sequence[NamespacePartition], aside: Mapping[NamespacePartition, list[SetAsideEvent]]
    ) -> Iterator[int]:
        """The ids of a namespace's events that are parked, quarantined where they were moved to, or not handled yet."""
        for at in space:
            yield from (it.event.id for it in aside[at] if it.event is not None and it.header.status != UNANSWERED)
            inbox = self._parts[at].inbox
            yield from (self._identity(at, offset, it) for offset, it in inbox.left() if offset >= inbox.position)

    def _recount(self, part: _Part, aside: list[SetAsideEvent], others: int | None, *, exact: bool) -> Recount:
        totals, whole = part.log.totals, part.log.is_whole and part.log.sequences.last >= part.log.end
        recorded = totals.at_marker if part.log.end else 0
        quarantined = sum(it.header.status == QUARANTINED for it in aside)
        control = part.inbox.commands - totals.corrected if part.inbox.is_whole and whole else None
        counts = Recount(recorded=recorded, others=others, control=control)
        if exact:
            counts = counts._replace(calls=part.pending.calls, timers=part.pending.timers, quarantined=quarantined)
        if whole:
            counts = counts._replace(
                accepted=totals.accepted, rejected=totals.rejected, fired=totals.fired, corrected=totals.corrected
            )
            if not totals.undecided:
                counts = counts._replace(derived_rejected=totals.derived_rejected)
                if exact and part.at[0] not in self._gateways and self._emissions.is_as_written(part.at):
                    counts = counts._replace(emitted=totals.emitted + totals.released - part.pending.released)
        elif part.marker.last is not None:
            self.findings.unchecked("counters of partitions whose log could not all be read", f"{part.at[0]}-{part.at[1]}")
        return counts

    def _counts(self) -> VerifiedCounts:
        parts = self._parts.values()
        return VerifiedCounts(
            len(parts), sum(it.log.count for it in parts), sum(it.inbox.count for it in parts), sum(it.rows.count for it in parts),
            sum(it.pending.parked_count for it in parts), sum(it.pending.timers + it.pending.calls for it in parts),
        )  # fmt: skip


def _check_inbox_start(findings: Findings, part: _Part, start: PartitionStart) -> None:
    """Where an inbox begins was asked for before its newest marker was read, if nothing hides that."""
    position = part.inbox.position
    if position < start.inbox and start.accepted < start.inbox and not part.log.hidden:
        found = f"it begins at offset {start.inbox}: what was before was deleted, and was not handled"
        findings.add(DELETED, part.at, "an inbox from where handling goes on", found, offset=position)


def _check_ends(findings: Findings, part: _Part, start: PartitionStart, *, quiet: bool) -> None:
    _check_inbox_start(findings, part, start)
    marker, last = part.marker.last, part.log.sequences.last
    end = 0 if marker is None else marker.last
    if last < end and not last and not part.log.sequences.is_begun:
        findings.unchecked("logs whose records were all deleted", f"{part.at[0]}-{part.at[1]}")
    elif last < end and part.log.hidden:
        findings.unchecked("records that an open transaction hides", position_name(*part.at, last + 1), end - last)
    elif last < end:
        found = f"it ends at {position_name(*part.at, last)}" if last else "it is empty"
        expected = f"the log up to {position_name(*part.at, end)}, as its marker says"
        findings.add(END, part.at, expected, found, sequence=last + 1)
    elif last > end and quiet:
        found = f"it goes on to {position_name(*part.at, last)}"
        expected = f"the log up to {position_name(*part.at, end)}, as its marker says" if marker else "no log without a marker"
        findings.add(END, part.at, expected, found, sequence=end + 1)
