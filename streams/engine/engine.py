"""The engine: a partition's records, answers and timers go in, changes come out. Workers, World and folds share it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from streams.app import App
from streams.data import EventData, Record
from streams.engine.admission import NO_QUARANTINES
from streams.engine.attempts import UNWATCHED, Attempts
from streams.engine.batch import BatchProcessor, PartitionWork
from streams.engine.calls import answer_value
from streams.engine.changes import Changes, PendingCall
from streams.engine.event_handlers import EventHandlers, Inbox, Limits
from streams.engine.image import Image
from streams.engine.partition_rows import PartitionRows
from streams.engine.quick_types import QuickTypes
from streams.engine.records import Batch, Codec, InboxRecord
from streams.engine.wire_format import WireFormat


class Engine:
    """The engine of one namespace."""

    def __init__(
        self,
        app: App,
        namespace: str,
        codec: Codec,
        *,
        limits: Limits | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.inbox = inbox or Inbox(namespace)
        self.handlers = EventHandlers(app, namespace)
        self.wire = WireFormat(codec, self.limits)
        self.generation = app.namespace(namespace).generation
        self._types = QuickTypes(self.handlers, codec)
        self.namespace, self.codec, self.row_type = self.handlers.namespace, codec, self.handlers.row_type

    def image(self, partition: int = 0, rows: PartitionRows | None = None) -> Image:
        """An image with these rows, empty otherwise."""
        return Image(
            partition, window=self.limits.window, rows=self.rows() if rows is None else rows, generation=self.generation
        )

    def rows(self) -> PartitionRows:
        """An empty table of this namespace, for restored rows."""
        return PartitionRows(self._decode_row)

    def _decode_row(self, value: bytes) -> Record:
        return self.codec.decode_row(self.row_type, value)

    def process(
        self,
        image: Image,
        work: PartitionWork,
        now: int,
        quarantines: Mapping[int, str] = NO_QUARANTINES,
        attempts: Attempts = UNWATCHED,
        refused: Collection[str] = (),
    ) -> Iterator[Changes]:
        """Handle work piece by piece; yields the same growing changes before the first piece and after each.

        The image does not change until they are applied (`image.apply(changes)`). `now` in µs since 1970. `quarantines` has
        reasons by inbox offset: a record there that would block is quarantined instead. `attempts` watches calls of handlers.
        `refused` has the ids of timers that do not fire.
        """
        return self.begin(image, now, quarantines, attempts, refused).process(work)

    def handle(self, image: Image, records: Batch, now: int) -> Changes:
        """The changes that these records make to `image`, all at once.

        Stops before a record whose schema or handler is not known here (`changes.blocked`), and where more timers must fire
        than one transaction takes: `changes.inbox_next` says how far it came.
        """
        batch = self.begin(image, now)
        batch.take_all(records)
        return batch.changes

    def begin(
        self,
        image: Image,
        now: int,
        quarantines: Mapping[int, str] = NO_QUARANTINES,
        attempts: Attempts = UNWATCHED,
        refused: Collection[str] = (),
    ) -> BatchProcessor:
        """A processor for a caller that hands over its work in pieces; its `changes` is the result."""
        return BatchProcessor(self.handlers, self.wire, self.inbox, self._types, image, now, quarantines, attempts, refused)

    def refuse(self, image: Image, record: InboxRecord, reason: str, now: int) -> Changes:
        """Quarantine one record by reference, undecoded: it is too large for a transaction."""
        batch = self.begin(image, now)
        batch.refuse(record, reason)
        return batch.changes

    def answer_value(self, call: PendingCall, answer: EventData) -> bytes:
        """The answer's bytes. Raises InvalidEvent unless the gateway declares the answer and it has the request's key."""
        return answer_value(self.handlers, self.wire, call, answer)
