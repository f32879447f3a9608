"""The end of an event log, as a restore reads it: where the log stands, and by what a duplicate is recognised."""

from __future__ import annotations

from itertools import pairwise

from confluent_kafka import Message

from streams.engine.duplicates import Remembered
from streams.engine.envelope import EnvelopeReader, log_header, sequence_of, without_packed
from streams.kafka.bounded_read import headers_of


class LogTail:
    """Of one partition, taken in record by record."""

    def __init__(self, envelopes: EnvelopeReader) -> None:
        self._envelopes = envelopes
        self._taken: list[tuple[bytes, Remembered]] = []
        self._sequences: set[int] = set()
        self._deleted: set[int] = set()

    @property
    def sequence(self) -> int:
        """The highest; 0 if there is none."""
        return max(self._sequences | self._deleted, default=0)

    @property
    def count(self) -> int:
        """How many records were read whose value is there."""
        return len(self._sequences)

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first and the last of the first sequences that are missing in what was read."""
        first = min(self._sequences, default=0)
        there = sorted(sequence for sequence in self._sequences | self._deleted if sequence >= first)
        return next(((low + 1, high - 1) for low, high in pairwise(there) if high > low + 1), None)

    def take(self, message: Message) -> None:
        """A record. One that an operator deletes keeps its sequence, in its key, and lies behind those that follow it."""
        sequence = sequence_of(message.key() or b"")
        if message.value() is None:
            self._sequences.discard(sequence)
            self._deleted.add(sequence)
            return
        self._sequences.add(sequence)
        headers = headers_of(message)
        digest = self._envelopes.read(without_packed(headers)).digest
        if digest is not None:
            self._taken.append((digest, (sequence, hash(message.value()), log_header(headers).outcome)))

    def put_before(self, earlier: LogTail, window: int) -> None:
        """`earlier` was read of what lies before this; no more than `window` records are kept."""
        self._taken = [*earlier._taken, *self._taken][-window:]
        self._sequences |= earlier._sequences - self._deleted
        self._deleted |= earlier._deleted

    def remembered(self) -> dict[bytes, Remembered]:
        """By what a duplicate is recognised, in the order of the log."""
        return dict(self._taken)
