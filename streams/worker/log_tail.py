"""The end of an event log, as a restore reads it: the last sequence, and the ids of the duplicate window."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from sys import intern
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine.control import PREFIX as CONTROL
from streams.engine.duplicates import Remembered
from streams.engine.envelope import log_header, sequence_of, without_packed
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.records import UNREADABLE
from streams.kafka.bounded_read import headers_of


class LoggedOrigin(NamedTuple):
    """Where in the inbox the event of a log record came from: an offset; -1 for a timer's."""

    offset: int
    message: Message

    def is_from(self, record: Message) -> bool:
        """Whether it came from this inbox record: key, value and headers are the same but for those that only retold may write.

        An operator's answer is logged without its command, so nothing is known of that.
        """
        value = record.value()
        if value is not None and value[:1] == CONTROL:
            return True
        entity = (self.message.key() or b"").rpartition(b"@")[0]
        logged, found = without_packed(headers_of(self.message)), headers_of(record)
        if found is UNREADABLE:  # such a record is never logged
            return False
        return (entity, self.message.value(), logged) == (record.key(), value, without_packed(found))


class LogTail:
    """The log's end of one partition, read in its order: the last `window` records, and never twice as many."""

    def __init__(self, envelopes: EnvelopeReader, window: int) -> None:
        self._envelopes, self._window = envelopes, window
        self._remembered: dict[bytes, Remembered] = {}
        self._sequences: set[int] = set()
        self._deleted: set[int] = set()
        self._forgot = False
        self.sequence = 0
        """The highest sequence; 0 if there is none."""
        self.origin: LoggedOrigin | None = None
        """Of all that was read, the log record whose event came from the highest offset of the inbox."""

    @property
    def count(self) -> int:
        """How many records were read and are kept, without tombstones."""
        return len(self._sequences)

    @property
    def full(self) -> bool:
        """Whether no earlier record belongs to the window."""
        return self._forgot or self.count >= self._window

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first and the last sequence of the first gap in what was read."""
        first = min(self._sequences, default=0)
        deleted = sum(it >= first and it not in self._sequences for it in self._deleted)
        if len(self._sequences) + deleted == self.sequence - first + 1:
            return None  # as nearly always: sorting takes longer, while partitions wait for a restore
        there = sorted(sequence for sequence in self._sequences | self._deleted if sequence >= first)
        return next(((low + 1, high - 1) for low, high in pairwise(there) if high > low + 1), None)

    def take(self, messages: Iterable[Message]) -> None:
        """Read records. A tombstone by an operator has its record's sequence in its key, and lies behind later records."""
        digest_of, last = self._envelopes.digest, -2 if self.origin is None else self.origin.offset
        for message in messages:
            value, sequence = message.value(), sequence_of(message.key() or b"")
            if sequence > self.sequence:
                self.sequence = sequence
            if value is None:
                self._sequences.discard(sequence)
                self._deleted.add(sequence)
                continue
            headers = headers_of(message)
            header, digest = log_header(headers), digest_of(headers)
            self._sequences.add(sequence)
            if digest is not None:
                self._remembered[digest] = (sequence, hash(value), intern(header.outcome))  # of some words, not of each record
            if header.offset > last:
                last = header.offset
                self.origin = LoggedOrigin(last, message)
            if len(self._sequences) + len(self._deleted) >= 2 * self._window:
                self._forget()

    def put_before(self, earlier: LogTail) -> None:
        """Put an earlier part of the log before this one; at most `window` records are kept."""
        self._remembered = self._last(earlier._remembered | self._remembered)
        self._sequences |= earlier._sequences - self._deleted
        self._deleted |= earlier._deleted
        self.sequence = max(self.sequence, earlier.sequence)
        self.origin = max((it for it in (self.origin, earlier.origin) if it is not None), key=lambda it: it.offset, default=None)

    def remembered(self) -> dict[bytes, Remembered]:
        """The entries of the duplicate window, in the order of the log. They grow when more is read."""
        return self._remembered

    def _forget(self) -> None:
        """Whoever follows a log for long has read more than the window holds."""
        last = self.sequence - self._window
        self._remembered = self._last(self._remembered)
        self._sequences = {it for it in self._sequences if it > last}
        self._deleted = {it for it in self._deleted if it > last}
        self._forgot = True

    def _last(self, remembered: dict[bytes, Remembered]) -> dict[bytes, Remembered]:
        last = self.sequence - self._window
        return {digest: it for digest, it in remembered.items() if it[0] > last}
