"""Handling: what came in for one partition goes in, changes come out. Live work, World and folds call this one engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streams.app import App
from streams.data import EventData
from streams.engine.admission import NO_QUARANTINES
from streams.engine.batch import BatchProcessor, PartitionWork
from streams.engine.calls import answer_value
from streams.engine.changes import Changes, PendingCall
from streams.engine.event_handlers import EventHandlers, Inbox, Limits
from streams.engine.image import Image
from streams.engine.records import Batch, Codec, InboxRecord
from streams.engine.wire_format import WireFormat


class Engine:
    """One namespace's."""

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
        self.namespace, self.codec, self.row_type = self.handlers.namespace, codec, self.handlers.row_type

    def image(self, partition: int = 0) -> Image:
        """An empty one."""
        return Image(partition, window=self.limits.window)

    def process(
        self, image: Image, work: PartitionWork, now: int, quarantines: Mapping[int, str] = NO_QUARANTINES
    ) -> Iterator[Changes]:
        """Piece by piece: the same growing changes before the first piece and after each.

        They are true when they are applied (`image.apply(changes)`); the image stays as it is until then. `now` in µs since
        1970; `quarantines` are reasons by inbox offset: a record there that must wait is quarantined instead.
        """
        return self.begin(image, now, quarantines).process(work)

    def handle(self, image: Image, records: Batch, now: int) -> Changes:
        """What these records do to `image`, all at once.

        Stops before a record whose schema or handler is not known yet (`changes.blocked`).
        """
        batch = self.begin(image, now)
        batch.take_all(records)
        return batch.changes

    def begin(self, image: Image, now: int, quarantines: Mapping[int, str] = NO_QUARANTINES) -> BatchProcessor:
        """For who hands over piece by piece; `changes` of it at the end."""
        return BatchProcessor(self.handlers, self.wire, self.inbox, image, now, quarantines)

    def refuse(self, image: Image, record: InboxRecord, reason: str, now: int) -> Changes:
        """Quarantine one record by reference, unread: no transaction can hold it."""
        batch = self.begin(image, now)
        batch.refuse(record, reason)
        return batch.changes

    def answer_value(self, call: PendingCall, answer: EventData) -> bytes:
        """The answer's bytes. Raises InvalidEvent unless the gateway declares it, and it is about the request's key."""
        return answer_value(self.handlers, self.wire, call, answer)
