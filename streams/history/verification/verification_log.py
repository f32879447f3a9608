"""Handling an event log again, record by record: what each event says, and the rows that they fold into."""

from __future__ import annotations

from array import array
from typing import Any

from streams.codec import PREFIX
from streams.engine.envelope import Envelope, LogHeader, log_header, sequence_of
from streams.engine.records import ACCEPTED, CORRECTED, NO_OFFSET
from streams.errors import StreamsError, UndecodableRecord, UnsupportedSchema
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_decisions import (
    CommonParts,
    DecisionCheck,
    LogTotals,
    PartitionChecks,
    is_answered_again,
)
from streams.history.verification.verification_emissions import FoundEvent
from streams.history.verification.verification_events import StoredEvent, is_as_written
from streams.history.verification.verification_findings import (
    ALTERED,
    HANDLED_TWICE,
    MISPLACED,
    UNREADABLE,
)
from streams.history.verification.verification_records import IdWindow, StoredRecord, hash_of, identity_of
from streams.history.verification.verification_steps import StepCheck


class LogCheck:
    """Of one partition. Its table is read before its log."""

    def __init__(self, at: NamespacePartition, common: CommonParts, checks: PartitionChecks) -> None:
        self._at, self._findings, self._handlers, self._reader = at, common.findings, common.handlers, common.reader
        self.sequences, self.marker, self.inbox, self.rows, self.pending, self._ids = checks
        self._emissions, self._window, self._partition_of = common.emissions, IdWindow(common.window), common.partition_of
        self._namespace, self._read_envelope = at[0], common.reader.wire.envelopes.read
        self._compared = False
        self.totals = LogTotals()
        self._decisions = DecisionCheck(at, common, checks, self.totals)
        self._steps = StepCheck(at, common.findings, self.marker, self._decisions, self.totals)
        self.count = 0
        self.erased: dict[str, int] = {}
        self._after_gap = array("q")
        """Hash of the key and identity of each event after a gap: a tombstone may say later whose record is gone."""
        self.hidden = False
        """Whether its end could not be read."""

    @property
    def end(self) -> int:
        """The sequence up to which rows and counters are compared."""
        return self.marker.end

    @property
    def is_whole(self) -> bool:
        return self.sequences.is_whole and not self.totals.unread and not self.hidden

    def take(self, record: StoredRecord) -> None:
        self.count += 1
        _, record_key, value, headers = record
        if value is None:
            self._erase(record_key)
            return
        try:
            header = log_header(headers)
            envelope = self._read_envelope(headers)
        except StreamsError as error:
            named = _sequence_in(record.key)
            if named is not None:
                self.sequences.take(named, self.sequences.recorded + 1)
            self._unreadable(record, named, error)
            return
        sequence = header.sequence
        key, _, digits = (record_key or b"").rpartition(b"@")
        if digits != b"%d" % sequence or sequence < 0:
            sequence = self._sequence(record, header)
        if self.sequences.take(sequence, header.recorded):
            self._take(record, value, key, sequence, header, envelope)

    def _erase(self, record_key: bytes | None) -> None:
        named = _sequence_in(record_key)
        if named is not None and record_key is not None:
            self.sequences.erase(named)
            self.erased.setdefault(record_key.rpartition(b"@")[0].decode(errors="replace"), named)

    def _sequence(self, record: StoredRecord, header: LogHeader) -> int:
        """That of the header, unless only that of the key fits."""
        named, sequence = _sequence_in(record.key), header.sequence
        if named != sequence:
            sequence = sequence if named is None or sequence == self.sequences.last + 1 else named
            self._add(ALTERED, sequence, f"the key <entity key>@{sequence}, as its header says", f"{record.key!r:.100}")
        return sequence

    def _take(
        self, record: StoredRecord, value: bytes, key: bytes, sequence: int, header: LogHeader, envelope: Envelope
    ) -> None:
        if sequence > self.marker.end and not self._compared:
            self._compare_rows()
        if header.offset >= 0:
            self.inbox.log(header.offset, hash_of(key, value, envelope.carried), sequence)
        try:
            if header.outcome == CORRECTED:
                self._steps.take(value, key, sequence, header)
                return
            stored = self._reader.read(value, envelope, header.id, header.time)
        except UnsupportedSchema as error:
            if value[1:PREFIX] != _schema_id(header.fingerprint):
                self._add(ALTERED, sequence, f"the schema id of its fingerprint, {header.fingerprint:.8}…", f"{value[:PREFIX]!r}")
            self._unsupported(key, sequence, header, envelope, error)
            return
        except StreamsError as error:
            self._unreadable(record, sequence, error)
            return
        self._event(value, key, sequence, header, stored)

    def _unsupported(self, key: bytes, sequence: int, header: LogHeader, envelope: Envelope, error: UnsupportedSchema) -> None:
        event_id = identity_of(envelope.source, envelope.id or header.id or "")
        self._ids.add(event_id)
        if envelope.cause is not None:
            cause = identity_of(envelope.cause_source, envelope.cause)
            self._emissions.find(FoundEvent(None, event_id, cause, envelope.type or "", self._at, sequence, is_offset=False))
        self._count(sequence, header, derived=envelope.cause is not None)
        what = f"events that this application cannot read ({error})"
        self._decisions.cannot_decide(key.decode(errors="replace"), sequence, event_id, what)

    def _event(self, value: bytes, key: bytes, sequence: int, header: LogHeader, stored: StoredEvent) -> None:
        event = stored.event
        data = event.data
        name = data.key
        if key != name.encode() or (
            name not in self._decisions.entries and self._partition_of(self._namespace, key) != self._at[1]
        ):
            expected = f"the key of its event, {name[:100]!r}, and its partition"
            self._add(MISPLACED, sequence, expected, f"{key[:100]!r} in this one")
        self._check_header(value, sequence, header, stored)
        if self.marker.inbox_next <= header.offset and sequence <= self.marker.end:
            self.marker.too_low(header.offset, sequence)
        self._ids.add(stored.id)
        if self.sequences.has_gap:
            self._after_gap.extend((hash(name), stored.id))
        again = stored.request is not None and is_answered_again(header)
        if not again and stored.envelope.id is not None and (first := self._window.earlier(stored.id, sequence)):
            expected = f"an id that none of the last {self._window.size:,} events has (duplicate_window)"
            self._add(HANDLED_TWICE, sequence, expected, f"that of {position_name(*self._at, first)}")
        if event.cause is not None:
            self._derived(value, sequence, header, stored)
        if stored.request is not None and not again:
            assert stored.cause is not None
            self.pending.answer(stored.cause, sequence, data.event_type)
        if header.outcome == ACCEPTED and header.timer is None and sequence < self.marker.end:
            self.totals.accepted += 1
        else:
            self._count(sequence, header, derived=event.cause is not None)
        self._decisions.decide(value, key, sequence, header, stored, name)

    def _check_header(self, value: bytes, sequence: int, header: LogHeader, stored: StoredEvent) -> None:
        known, envelope, event_type = self._reader.newest.get(value[:PREFIX]), stored.envelope, stored.event.data.event_type
        if header.fingerprint != known and header.fingerprint != self._handlers.codec.fingerprint(value):
            self._add(ALTERED, sequence, "the fingerprint of the schema that wrote it", header.fingerprint)
        if (envelope.type != event_type and envelope.type is not None) or (header.timer and stored.event.cause is None):
            self._add(ALTERED, sequence, f"the type {event_type}, and a timer's cause", "others")
        if (surplus := _surplus_fields(header, envelope)) is not None:
            self._add(ALTERED, sequence, "what a worker says of such a record", surplus)

    def _derived(self, value: bytes, sequence: int, header: LogHeader, stored: StoredEvent) -> None:
        envelope = stored.envelope
        assert stored.cause is not None
        if envelope.cause_time is not None and envelope.cause_time >= header.recorded:
            self.sequences.take_early(envelope.cause_time, sequence, header.recorded)
        if stored.request is None:
            saying = self._reader.recorded_saying(stored, value, in_place=header.timer is True)
            if not self._emissions.was_said(saying):
                due = sequence <= self.marker.end
                found = FoundEvent(saying, stored.id, stored.cause, saying.event_type, self._at, sequence, False, due)
                self._emissions.find(found)
        if header.timer and not is_as_written(stored):
            self._add(ALTERED, sequence, "the headers of a timer, byte for byte", "others")

    def _count(self, sequence: int, header: LogHeader, *, derived: bool) -> None:
        end = self.marker.end
        if sequence > end:
            return
        totals = self.totals
        if header.outcome == ACCEPTED:
            totals.accepted += 1
        else:
            totals.rejected += 1
            totals.derived_rejected += derived
        if header.timer:
            totals.fired += 1
        if sequence == end:
            totals.at_marker = header.recorded

    def _unreadable(self, record: StoredRecord, sequence: int | None, error: Exception) -> None:
        self.totals.unread += 1
        offset = record.offset if sequence is None else None
        self._findings.add(
            UNREADABLE, self._at, "a record that a worker wrote", str(error), sequence=sequence or 0, offset=offset
        )
        self._decisions.opaque.setdefault((record.key or b"").rpartition(b"@")[0].decode(errors="replace"), sequence or 0)

    def _compare_rows(self) -> None:
        self._compared = True
        if self.rows.are_kept(self.marker.last) and self.sequences.is_begun:
            self.rows.compare(self._decisions.entries, self._decisions.opaque)
        elif self.rows.count:
            self._findings.unchecked("rows of logs whose beginning was deleted", position_name(*self._at, 1), self.rows.count)

    def finish(self, *, hidden: bool) -> None:
        self.hidden = hidden and self.sequences.last < self.end
        if self.hidden:
            end = position_name(*self._at, self.end)
            self._findings.unchecked("rows of logs that an open transaction hides", end, self.rows.count)
        elif not self._compared:
            self._compare_rows()
        self.sequences.finish()
        for key, sequence in self.erased.items():
            self._findings.withdraw((*self._at, key), sequence)
        keys = {hash(key) for key in self.erased}
        after = iter(self._after_gap)
        self._emissions.opaque.update(event_id for key, event_id in zip(after, after, strict=True) if key in keys)

    def _add(self, kind: Any, sequence: int, expected: str, found: str, key: str | None = None) -> None:
        self._findings.add(kind, self._at, expected, found, sequence=sequence, key=key)


def _surplus_fields(header: LogHeader, envelope: Envelope) -> str | None:
    """What no worker writes into its header of this record; None: there is nothing."""
    if header.outcome == ACCEPTED and not (header.reason is None and header.wrong_version is None and header.by is None):
        return "it was accepted, and there is a reason or somebody who rejected it"
    if (header.id is None) != bool(envelope.id) or (header.time is None) != (envelope.time is not None):
        return "an id or a time of its own, or none, and the event's headers say otherwise"
    if header.timer is False or (header.timer is not None) != (header.offset == NO_OFFSET):
        return "a timer that came from the inbox, or an event that did not and is no timer"
    return None


def _schema_id(fingerprint: str) -> bytes:
    """The 4 bytes in a value: the first 31 bits of the fingerprint of the schema that wrote it (rule 22)."""
    try:
        return (int(fingerprint[:8], 16) >> 1).to_bytes(4, "big")
    except ValueError:
        return b""


def _sequence_in(key: bytes | None) -> int | None:
    try:
        return sequence_of(key or b"")
    except UndecodableRecord:
        return None
