"""Folding the log into rows again: recorded outcomes are kept, and the handlers are the ones that ran live (law 4).

What they decide otherwise is told, event by event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streams.data import EventData
from streams.engine.engine import Engine
from streams.engine.envelope import Envelope, LogHeader, event_again, log_header
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.image import Image
from streams.engine.partition_rows import PartitionRows
from streams.engine.readable import in_a_line, named, shortened
from streams.engine.records import ACCEPTED, Entry, Headers
from streams.engine.step import CorrectionStep
from streams.errors import CodeChanged, HistoryError, RowsNotBuilt
from streams.event import Event
from streams.outcome import Rejected

OUTCOME, RAISES, UNHANDLED = "outcome", "raises", "unhandled"
"""What code does otherwise with an event than was recorded: it decides otherwise, it raises, it has no handler."""



class LoggedEvent(NamedTuple):
    """A decoded log record: the event as its handler got it, and the log's header."""

    event: Event[EventData]
    header: LogHeader


def read_logged(envelopes: EnvelopeReader, data: EventData, headers: Headers) -> tuple[LoggedEvent, Envelope]:
    """The event of a log record, and its publisher's envelope. Raises UndecodableRecord if no worker wrote these headers."""
    header = log_header(headers)
    envelope = envelopes.read(headers)  # without what is retold's own
    return LoggedEvent(event_again(data, envelope, header), header), envelope


class DecidedOtherwise(NamedTuple):
    """An event that is decided otherwise than was recorded, and how, in words."""

    event_type: str
    kind: str
    sequence: int
    key: str
    how: str


class CorrectedRows(NamedTuple):
    """Rows of a partition as corrections make them of its log up to sequence `until`, with the versions that they have."""

    rows: Mapping[str, Entry]
    until: int

    def has(self, key: str, sequence: int) -> bool:
        """Whether what the log has there is in the row."""
        return sequence <= self.until and key in self.rows


NOTHING_CORRECTED = CorrectedRows({}, 0)


class RowFold:
    """Of one partition, from record `sequence + 1` on. `rows` may have some of its events already: those are left out by version.

    `changed` has the bytes (empty: it was deleted) and version of each row that was changed; the caller may clear it.
    """

    def __init__(
        self, engine: Engine, partition: int, rows: PartitionRows, sequence: int, *, whole: bool = True,
        corrected: CorrectedRows = NOTHING_CORRECTED,
    ) -> None:  # fmt: skip
        """`whole`: a record that is missing is an error; else what is left is folded. `corrected` rows are as they are there."""
        self._engine, self._log = engine, f"{engine.inbox.topic}-{partition}"
        self.rows, self.sequence, self._whole, self._corrected = rows, sequence, whole, corrected
        self.recorded = 0
        self.changed: dict[str, tuple[bytes, int]] = {}
        for key, (row, version) in corrected.rows.items():
            if version >= rows.version(key):
                self.rows[key] = (row, version)
                self.changed[key] = (b"" if row is None else engine.codec.encode_frozen(row)[1], version)

    def take(self, value: bytes | None, headers: Headers) -> DecidedOtherwise | None:
        """The next record of the log. One that is decided otherwise leaves its row as it is.

        A record without a value is an operator's tombstone, and is left out. Raises HistoryError where records are missing, and
        UnsupportedSchema, or UndecodableRecord if no worker wrote it.
        """
        if value is None:
            return None
        data = self._engine.codec.decode(value)
        (event, header), _ = read_logged(self._engine.wire.envelopes, data, headers)
        if header.sequence <= self.sequence:
            return None
        if self._whole and header.sequence != self.sequence + 1:
            raise HistoryError(
                f"{self._log}:{self.sequence + 1} is not in the event log: it was erased, or lost, so the rows cannot be folded "
                "from it"
            )
        found = None
        if self._corrected.has(event.key, header.sequence):
            pass
        elif isinstance(data, CorrectionStep):
            if self._whole or not data.is_of(self._engine.generation):
                raise RowsNotBuilt(
                    f"the correction {data.correction} has set the row {named(data.entity)} as {self._log}:{header.sequence}, to "
                    f"what code of another generation makes of it: rows of generation {self._engine.generation} cannot be folded "
                    f"beyond that, and are built from the corrected past. Run `retold rebuild start {self._engine.namespace}` with "
                    "this code; code of the generation that workers keep goes on meanwhile"
                )
            self._set(data, header.sequence)
        else:
            found = self._event(event, header)
        self.sequence, self.recorded = header.sequence, header.recorded
        return found

    def _set(self, step: CorrectionStep, sequence: int) -> None:
        """A correction's row is what it says."""
        if self.rows.version(step.entity) < sequence:
            row = step.row_of(self._engine.codec, self._engine.row_type)
            self.rows[step.entity] = (row, sequence)
            self.changed[step.entity] = (b"" if row is None else self._engine.codec.encode_frozen(row)[1], sequence)

    def _event(self, event: Event[EventData], header: LogHeader) -> DecidedOtherwise | None:
        accepted = header.outcome == ACCEPTED
        handler = self._engine.handlers.by_event.get(type(event.data))
        if handler is None:
            return self._otherwise(event, header, UNHANDLED, "has no handler") if accepted else None
        decides = accepted or _by_handler(header)
        if handler.function is None or not decides or self.rows.version(event.key) >= header.sequence:
            return None
        row = (self.rows.entry(event.key) or (None, 0))[0]
        try:
            try:
                new = self._engine.handlers.decide(handler, row, event).row
            except Rejected as no:
                return self._otherwise(event, header, OUTCOME, f"is rejected now ({no.reason})") if accepted else None
            frozen, encoded = (None, b"") if new is None else self._engine.codec.encode_frozen(new)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, it decides otherwise
            return self._otherwise(event, header, RAISES, f"raises now {shortened(in_a_line(error), 300)}") if accepted else None
        if not accepted:
            return self._otherwise(event, header, OUTCOME, "is accepted now")
        self.rows[event.key] = (frozen, header.sequence)
        self.changed[event.key] = (encoded, header.sequence)
        return None

    def _otherwise(self, event: Event[EventData], header: LogHeader, kind: str, how: str) -> DecidedOtherwise:
        text = (
            f"{event.data.event_type} of {named(event.key)!r} was {header.outcome} as {self._log}:{header.sequence}, and {how}"
        )
        return DecidedOtherwise(event.data.event_type, kind, header.sequence, event.key, text)


def _by_handler(header: LogHeader) -> bool:
    """Whether the handler rejected it. Earlier versions wrote in the reason alone who else did."""
    reason = header.reason or ""
    return header.by is None and not header.wrong_version and reason != "already answered" and not reason.startswith("rejected by ")


def refuse(found: DecidedOtherwise | None) -> None:
    """Raises CodeChanged for an event that is decided otherwise: who replays with other code has looked at that before."""
    if found is not None:
        raise CodeChanged(f"{found.how}: the code has changed its mind about the past")


def fold(engine: Engine, image: Image, records: Iterable[tuple[bytes | None, Headers]]) -> Image:
    """Fold the (value, headers) of one partition's log, in order, into `image`, and return it.

    A record without a value is an operator's tombstone, and is left out; so are gaps. A correction's step sets its row.

    Raises CodeChanged if the code decides an event otherwise than was recorded: `retold replay` shows all of them.
    """
    folded = RowFold(engine, image.partition, image.rows, image.sequence, whole=False)
    for value, headers in records:
        refuse(folded.take(value, headers))
    image.sequence, image.recorded = folded.sequence, folded.recorded
    return image
