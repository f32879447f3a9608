"""Deciding the events of a log again: whether the handlers say what was recorded, and what follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

from streams.data import Record, namespace_of
from streams.engine.envelope import LogHeader
from streams.engine.event_handlers import EventHandler
from streams.engine.execution import ABSENT, wrong_version
from streams.engine.readable import readable
from streams.engine.records import ACCEPTED, BY_RETOLD, Entry
from streams.engine.step import CorrectionStep
from streams.history.code.application_handlers import ApplicationHandlers, DecidedEvent
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_emissions import EmissionCheck, SaidEvent
from streams.history.verification.verification_events import EventReader, Saying, StoredEvent
from streams.history.verification.verification_findings import DECIDES, VERSION, Findings
from streams.history.verification.verification_inbox import InboxCheck
from streams.history.verification.verification_markers import MarkerCheck
from streams.history.verification.verification_pending import OpenCall, PendingCheck
from streams.history.verification.verification_records import KnownIds, PartitionOf, hash_of, identity_of
from streams.history.verification.verification_rows import RowCheck
from streams.history.verification.verification_sequences import SequenceCheck


class LogTotals:
    """Counted up to the marker."""

    def __init__(self) -> None:
        self.accepted = self.rejected = self.derived_rejected = self.fired = self.corrected = 0
        self.emitted = self.released = 0
        """Emissions that are published at once, and scheduled ones that are published when they are due."""
        self.unread = self.undecided = 0
        """Records that do not read at all, and those of which it is not known what they say."""
        self.at_marker: int | None = None
        """The recorded time of the record that the marker names."""


class CommonParts(NamedTuple):
    """What the checks of all logs have in common. `window` is how many ids a partition remembers."""

    findings: Findings
    handlers: ApplicationHandlers
    reader: EventReader
    emissions: EmissionCheck
    window: int
    partition_of: PartitionOf


class PartitionChecks(NamedTuple):
    """The checks of one partition's other topics, and what its log shares with the other logs."""

    sequences: SequenceCheck
    marker: MarkerCheck
    inbox: InboxCheck
    rows: RowCheck
    pending: PendingCheck
    ids: KnownIds


class DecisionCheck:
    """Of one partition. `entries` are the rows that its log folds into."""

    def __init__(self, at: NamespacePartition, common: CommonParts, checks: PartitionChecks, totals: LogTotals) -> None:
        self._at, self._findings, self._handlers, self._reader = at, common.findings, common.handlers, common.reader
        self._sequences, self._marker, self._pending = checks.sequences, checks.marker, checks.pending
        self._emissions = common.emissions
        self._namespace, self._by_event = at[0], common.handlers.spaces[at[0]].by_event
        self._own = {data.event_type for space in common.handlers.spaces.values() for data in space.by_event}
        self.entries: dict[str, Entry] = {}
        self.opaque: dict[str, int] = {}
        """Keys whose rows are not known, and since which sequence."""
        self._totals = totals

    def decide(self, value: bytes, key: bytes, sequence: int, header: LogHeader, stored: StoredEvent, name: str) -> None:
        """Decide it again on the row of `name` that was folded, and compare the outcome."""
        event, accepted = stored.event, header.outcome == ACCEPTED
        handler = self._by_event.get(type(event.data))
        if handler is None:
            what = f"events without a handler in this application ({event.data.event_type})"
            self.cannot_decide(name, sequence, stored.id, what)
            return
        if header.by is not None or (stored.request is not None and is_answered_again(header)):
            return
        row, version = self.entries.get(name, ABSENT)
        is_known = name not in self.opaque and self._sequences.is_begun
        if is_known:
            expected = stored.envelope.expected_version
            conflict = None if expected is None else wrong_version(expected, row, version)
            if (conflict is not None) != bool(header.wrong_version):
                said = "accepted" if accepted else f"rejected ({header.reason})"
                self._add(VERSION, sequence, conflict or "the row at the version that its publisher expected", said, name)
        if header.wrong_version:
            return
        if handler.function is None:
            if accepted:
                digest = hash_of(key, value, stored.envelope.carried)
                due = sequence <= self._marker.end
                call = OpenCall(sequence, event.reference, name, header.recorded, digest, due=due)
                self._pending.ask(stored.id, call)
            elif not _may_be_operators(header):
                self._otherwise(sequence, header, stored, "it is accepted: its gateway answers, and rejects nothing")
            return
        if not is_known:
            self.cannot_decide(name, sequence, stored.id, "events of keys whose rows are not known")
            return
        self._decide_again(handler, row, sequence, header, stored, name)

    def step(self, step: CorrectionStep, sequence: int) -> None:
        """Take the row that a correction has set. Raises as `row_of`.

        Which timers it takes away and schedules follows from events that are not in the log as they count now: what their causes
        say is not compared.
        """
        self._totals.undecided += bool(step.added or step.dropped)
        envelopes = [self._handlers.wire.envelopes.read(list(it.headers)) for it in step.added]
        causes = {identity_of(it.source, it.cause) for it in step.dropped}
        causes |= {identity_of(it.cause_source, it.cause or "") for it in envelopes}
        self._emissions.opaque |= causes
        self._emissions.of_steps |= causes
        space = self._handlers.spaces[self._namespace]
        if not step.is_of(space.generation):
            what = f"rows that a correction has set as code of generation {step.generation} makes them"
            self.cannot_decide(step.entity, sequence, identity_of("", step.event_id), what)
            return
        row = step.row_of(self._handlers.codec, space.row_type)
        name, (_, version) = step.entity, self.entries.get(step.entity, ABSENT)
        if name not in self.opaque and self._sequences.is_begun and version != step.expected:
            self._add(VERSION, sequence, f"a step to the row at version {version}", f"one at version {step.expected}", name)
        self.entries[name] = (row, sequence)
        self.opaque.pop(name, None)

    def _decide_again(
        self, handler: EventHandler, row: Record | None, sequence: int, header: LogHeader, stored: StoredEvent, name: str
    ) -> None:
        accepted = header.outcome == ACCEPTED
        try:
            decided = self._handlers.decide(self._namespace, handler, row, stored.event)
            emissions = decided.emissions
            sayings = self._reader.sayings(handler, stored, header.recorded, emissions) if emissions else ()
            found = None if accepted and decided.reason is None else _difference(header, decided)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises, it decides otherwise
            found, decided, sayings = f"its handler raises {type(error).__name__}: {error!s:.200}", DecidedEvent(None), ()
        if found is not None:
            if not _may_be_operators(header):
                self._otherwise(sequence, header, stored, found)
            return
        if accepted:
            self.entries[name] = (decided.row, sequence)
        for saying in sayings:
            self._say(saying, sequence, stored.id)

    def _say(self, saying: Saying, sequence: int, cause: int) -> None:
        due = sequence <= self._marker.end
        if saying.at_once:
            self._totals.emitted += due
        elif not saying.own:
            self._totals.released += due
        if saying.event_type not in self._own:
            namespace = namespace_of(saying.event_type)
            if namespace not in self._handlers.spaces:
                self._findings.unchecked(f"emissions for another application ({namespace})", position_name(*self._at, sequence))
                return
        if not self._emissions.was_found(saying):
            self._emissions.say(SaidEvent(saying, self._at, sequence, cause, due, self._sequences.has_gap))

    def _otherwise(self, sequence: int, header: LogHeader, stored: StoredEvent, found: str) -> None:
        event = stored.event
        recorded = header.outcome if header.reason is None else f"{header.outcome}: {header.reason}"
        self._add(DECIDES, sequence, f"{event.data.event_type} {recorded}, as recorded", found, event.key)
        self._emissions.opaque.add(stored.id)
        self._totals.undecided += 1
        if header.outcome == ACCEPTED:
            self.opaque.setdefault(event.key, sequence)

    def cannot_decide(self, key: str, sequence: int, event_id: int, what: str) -> None:
        """What follows for this key is not known."""
        self._findings.unchecked(what, position_name(*self._at, sequence))
        self._emissions.opaque.add(event_id)
        self._totals.undecided += 1
        self.opaque.setdefault(key, sequence)

    def _add(self, kind: Any, sequence: int, expected: str, found: str, key: str | None = None) -> None:
        self._findings.add(kind, self._at, expected, found, sequence=sequence, key=key)


def is_answered_again(header: LogHeader) -> bool:
    """Earlier versions did not write who rejected a second answer."""
    return header.by == BY_RETOLD or (header.by is None and header.reason == "already answered")


def _may_be_operators(header: LogHeader) -> bool:
    """Whether an operator may have rejected it: earlier versions wrote that in the reason alone."""
    return header.outcome != ACCEPTED and (header.reason or "").startswith("rejected by ")


def _difference(header: LogHeader, decided: DecidedEvent) -> str | None:
    """What a handler decides, if that is not what was recorded."""
    if decided.reason is None:
        return None if header.outcome == ACCEPTED else "it is accepted"
    agrees = header.outcome != ACCEPTED and readable(decided.reason) == header.reason
    return None if agrees else f"it is rejected: {decided.reason}"
