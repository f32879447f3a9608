"""The end of an event log, as a restore reads it: where the log stands, and by what a duplicate is recognised."""

from __future__ import annotations

from confluent_kafka import Message

from streams.engine.duplicates import Remembered
from streams.engine.envelope import EnvelopeReader, log_header, sequence_of, without_packed
from streams.kafka.read import headers_of


class LogTail:
    """Of one partition, taken in record by record.

    `sequence` is that of the last record, 0 if there is none; `count` how many there are; `gap` the first and last
    sequence of the first gap between two.
    """

    def __init__(self, envelopes: EnvelopeReader) -> None:
        self._envelopes = envelopes
        self.remembered: dict[bytes, Remembered] = {}
        self.sequence = self.count = 0
        self.gap: tuple[int, int] | None = None

    def take(self, message: Message) -> None:
        """The next record. One that an operator deleted keeps its sequence, in its key."""
        sequence = sequence_of(message.key() or b"")
        if self.sequence and sequence > self.sequence + 1 and self.gap is None:
            self.gap = self.sequence + 1, sequence - 1
        self.sequence, self.count = sequence, self.count + 1
        if message.value() is None:
            return
        headers = headers_of(message)
        digest = self._envelopes.read(without_packed(headers)).digest
        if digest is not None:
            self.remembered[digest] = (sequence, hash(message.value()), log_header(headers).outcome)

    def put_before(self, earlier: LogTail) -> None:
        """`earlier` was read of what lies before this."""
        self.remembered = earlier.remembered | self.remembered
        self.sequence = self.sequence or earlier.sequence
        self.count += earlier.count
        self.gap = earlier.gap or self.gap
