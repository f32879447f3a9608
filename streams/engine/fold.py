"""Folding the log into rows again: recorded outcomes are kept, and the handlers are the ones that ran live (law 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.data import EventData
from streams.engine.engine import Engine
from streams.engine.envelope import Envelope, LogHeader, event_again, log_header
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.image import Image
from streams.engine.records import ACCEPTED, Headers
from streams.engine.step import CorrectionStep
from streams.errors import HistoryError
from streams.event import Event
from streams.outcome import Rejected


class LoggedEvent(NamedTuple):
    """A decoded log record: the event as its handler got it, and the log's header."""

    event: Event[EventData]
    header: LogHeader


def read_logged(envelopes: EnvelopeReader, data: EventData, headers: Headers) -> tuple[LoggedEvent, Envelope]:
    """The event of a log record, and its publisher's envelope. Raises UndecodableRecord if no worker wrote these headers."""
    header = log_header(headers)
    envelope = envelopes.read(headers)  # without what is retold's own
    return LoggedEvent(event_again(data, envelope, header), header), envelope


def fold(engine: Engine, image: Image, records: Iterable[tuple[bytes | None, Headers]]) -> Image:
    """Fold the (value, headers) of one partition's log, in order, into `image`, and return it.

    A record without a value is an operator's tombstone, and is left out. A correction's step sets its row.

    Raises HistoryError if a handler now rejects an event that was accepted: new code that decides the past differently needs
    a rebuild, which shows the differences.
    """
    for value, headers in records:
        if value is None:
            continue
        (event, header), _ = read_logged(engine.wire.envelopes, engine.codec.decode(value), headers)
        if isinstance(event.data, CorrectionStep):
            image.rows[event.key] = (event.data.row_of(engine.codec, engine.row_type), header.sequence)
            image.sequence, image.recorded = header.sequence, header.recorded
            continue
        handler = engine.handlers.by_event[type(event.data)]
        if header.outcome == ACCEPTED and handler.function is not None:
            row = image.rows.get(event.key, (None, 0))[0]
            try:
                new = engine.handlers.decide(handler, row, event).row
                image.rows[event.key] = (new and engine.codec.freeze(new), header.sequence)
            except Rejected as no:
                raise HistoryError(
                    f"{handler.event_type} was accepted as record {header.sequence} of {engine.inbox.topic}-{image.partition}, "
                    f"and its handler now rejects it ({no.reason}): the code has changed its mind about the past"
                ) from no
        image.sequence, image.recorded = header.sequence, header.recorded
    return image
