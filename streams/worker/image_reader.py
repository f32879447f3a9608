"""Builds the image of a partition from the records of its table, parked, due and log topics."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine import marker
from streams.engine.calls import parked_request
from streams.engine.changes import (
    CallReference,
    DueReference,
    ParkedReference,
    Pending,
    PendingTimer,
    QueuedRecord,
    SetAsideRecord,
    TimerReference,
    memory_of,
)
from streams.engine.engine import Engine
from streams.engine.envelope import VERSION_HEADER, due_header, without_packed
from streams.engine.fold import RowFold
from streams.engine.generations import ENTITY, BuiltTo, corrected_to, counts
from streams.engine.image import Image
from streams.engine.quick_types import PREFIX
from streams.engine.readable import named
from streams.engine.records import Headers, QueuePosition
from streams.engine.stored import pending_at, place_at, set_aside_of
from streams.errors import UndecodableRecord
from streams.kafka.bounded_read import headers_of
from streams.kafka.messages import parked_message, table_record
from streams.namespace import FIRST
from streams.worker.due_bodies import IN_MEMORY, name_of
from streams.worker.log_tail import LogTail


class _Queued(NamedTuple):
    """What is in a parked queue, and what its event is known by: its id's digest, and a hash of its body."""

    record: QueuedRecord
    digest: bytes | None = None
    body: int = 0


class _Waiting(NamedTuple):
    """A timer or a call: its place, and its record, or of a call whose record is not kept how its value begins.

    `memory` is how many bytes the record takes, about.
    """

    place: DueReference
    record: tuple[bytes, Headers] | None = None
    memory: int = 0
    schema: bytes = b""


class ImageReader:
    """Takes the records of one partition: those of a topic in its order, those of several topics in any.

    It has nothing but what the topics say, so it may take more records after it has made an image. That image shares its rows.
    The bodies of timers and calls take `most` bytes at most, about: those that come beyond are left to their topic.
    """

    def __init__(self, engine: Engine, partition: int, most: int = IN_MEMORY) -> None:
        self._engine, self.partition = engine, partition
        self._most, self._memory = most, 0
        self.rows, self._generation = engine.rows(), engine.generation
        self._check_row, self._row_type = engine.codec.check_row, engine.row_type
        self._known: set[bytes] = set()
        """How rows begin whose schema was checked."""
        self._queued: dict[QueuePosition, _Queued] = {}
        self._quarantined: set[QueuePosition] = set()
        """They block nothing, and are many if somebody publishes rubbish: their bytes are not kept."""
        self._waiting: dict[str, _Waiting] = {}
        self._samples: dict[bytes, tuple[bytes, bytes]] = {}
        """By how values of calls begin, this, and one of them: so it is seen whether their schema is known here."""
        self.log = LogTail(engine.wire.envelopes, engine.limits.window)
        self.marker: marker.Marker | None = None
        self.built: BuiltTo | None = None
        self.fold: RowFold | None = None
        """Of rows of a generation that is not the current one: what was folded behind them."""
        self.is_stale = False
        """Whether rows were built anew from a past that was corrected since something was folded behind them."""

    def take_rows(self, messages: Iterable[Message]) -> None:
        """Read records of the table. Raises as `row`, which also reads what is not as most are."""
        known, restore, is_first = self._known, self.rows.restore, self._generation == FIRST
        for message in messages:
            key, value = message.key() or b"", message.value() or b""
            headers = None
            if is_first and key >= ENTITY and value[:PREFIX] in known:
                headers = headers_of(message)
                try:
                    ((name, version),) = headers
                    if name == VERSION_HEADER:
                        restore(key.decode(), value, int(version))
                        continue
                except (TypeError, ValueError):  # `row` says what it is
                    pass
            self.row(message, headers)

    def row(self, message: Message, headers: Headers | None = None) -> None:
        """Read a row or a marker. Raises UnsupportedSchema or UndecodableRecord for a row that cannot be decoded later."""
        record = table_record(message, headers)
        if isinstance(record, marker.Marker):
            self.marker = record
            if record.generation == self._generation:
                self.fold = None
            return
        if isinstance(record, BuiltTo):
            if record.generation == self._generation:
                self.is_stale |= self.fold is not None and corrected_to({}, self.built, self._generation) != record.corrections
                self.built = record
            return
        if record.generation != self._generation:
            return
        if not counts(record.version, self.rows.version(record.key), built=record.built):
            return
        if record.value:
            self._check_row(self._row_type, record.value)
            self._known.add(record.value[:PREFIX])
        self.rows.restore(record.key, record.value, record.version)

    def parked(self, message: Message) -> None:
        """Read a parked record; a tombstone removes an earlier one. The bodies of events are not kept: a key may have millions."""
        record = parked_message(message)
        aside = None if record.value is None else set_aside_of(record.position, record.value, record.headers)
        self._queued.pop(record.position, None)
        self._quarantined.discard(record.position)
        if aside is not None and aside.entity is not None:
            self._queued[record.position] = self._parked(aside, aside.entity, message.offset() or 0)
        elif aside is not None:
            self._quarantined.add(record.position)

    def _parked(self, aside: SetAsideRecord, entity: str, at: int) -> _Queued:
        request = parked_request(self._engine.wire, aside)
        place = ParkedReference(aside.offset, sys.intern(entity), at, at + 1, aside.timer, request)
        if request:
            return _Queued(place)
        return _Queued(place, self._digest(aside.carried), hash(aside.value))

    def due(self, message: Message) -> None:
        """Read a timer or a call; a tombstone removes an earlier one."""
        key, value = (message.key() or b"").decode(), message.value()
        if (gone := self._waiting.pop(key, None)) is not None:
            self._memory -= gone.memory
        if value is not None:
            self._wait(key, value, headers_of(message), message.offset() or 0)

    def _wait(self, key: str, value: bytes, headers: Headers, at: int) -> None:
        place = place_at(at, key, len(value), due_header(headers), self._is_own)
        if self._memory < self._most:
            memory = memory_of(value, headers, decoded=isinstance(place, CallReference))
            self._waiting[key] = _Waiting(place, (value, headers), memory)
            self._memory += memory
        elif isinstance(place, CallReference):
            schema, _ = self._samples.setdefault(value[:PREFIX], (value[:PREFIX], value))
            self._waiting[key] = _Waiting(place, schema=schema)
        else:
            self._waiting[key] = _Waiting(place)

    def places(self) -> Sequence[DueReference]:
        """Of the timers and calls that an image has with their bodies."""
        return [it.place for it in self._waiting.values() if it.record is not None]

    def image(self) -> Image:
        """The image of all that was read. Raises UnsupportedSchema for a call that cannot be decoded."""
        image, last = self._engine.image(self.partition, self.rows), self.marker
        image.quarantined = len(self._quarantined)
        if last is not None:
            image.sequence, image.recorded, image.inbox_next = last.last, last.recorded, last.inbox_next
            image.counters, image.imports = last.counters, dict(last.imports)
            image.generation, image.complete = last.generation, dict(last.complete)
            image.dropped, image.corrections = frozenset(last.dropped), dict(last.corrections)
            image.code, image.code_since = last.code, last.code_since
        image.window.restore(self.log.remembered())
        for schema in {it.schema for it in self._waiting.values() if it.schema}:
            self._engine.codec.decode(self._samples[schema][1])
        for waiting in self._waiting.values():
            self._add(image, waiting)
        for it in sorted(self._queued.values(), key=lambda it: it.record.position.order):  # after compaction not in order
            image.set_aside(it.record)
            if it.digest is not None:
                image.parked_ids[it.digest] = it.body
        return image

    def _add(self, image: Image, waiting: _Waiting) -> None:
        it: Pending | DueReference = waiting.place
        if waiting.record is not None:
            it = self._pending(waiting.place, *waiting.record)
        if isinstance(it, PendingTimer | TimerReference):
            image.due.add(it)
        else:
            image.calls.add(it)

    def _pending(self, place: DueReference, value: bytes, headers: Headers) -> Pending:
        """Raises UndecodableRecord, with the record's key: its offset is not kept."""
        try:
            return pending_at(place, self._engine.wire, value, headers)
        except UndecodableRecord as error:
            where = f"what is due as {named(name_of(place))} in partition {self.partition} of {self._engine.namespace}"
            raise UndecodableRecord(f"{where}, in its due topic, cannot be read: {error}") from error

    def _is_own(self, namespace: str, key: bytes) -> bool:
        inbox = self._engine.inbox
        ours = inbox.partition_of is None or inbox.partition_of(key) == self.partition
        return ours and namespace == self._engine.namespace

    def _digest(self, headers: Headers) -> bytes | None:
        return self._engine.wire.envelopes.read(without_packed(headers)).digest
