"""One batch of one partition being handled: an overlay over the image, dropped or applied as a whole (rule 9).

Here is the door: what happens to a record before, and instead of, its handler (rule 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streams.data import EventData
from streams.engine.aside import BEHIND, Aside
from streams.engine.control import PREFIX as CONTROL
from streams.engine.control import answer_at_last, obey
from streams.engine.deciding import Deciding
from streams.engine.envelope import HOPS_LIMIT, Arrival, Envelope, event_of, from_micros
from streams.engine.identity import answer_id, position_id
from streams.engine.image import Image
from streams.engine.records import PARKED, Batch, Blocked, Changes, Duplicate, Emitted, InboxRecord
from streams.errors import InvalidEvent, SchemaNotFound, UndecodableRecord
from streams.event import reference_of

if TYPE_CHECKING:
    from streams.engine.engine import Engine


NO_ORDERS: Mapping[int, str] = {}


class Turn:
    """`orders` are reasons by inbox offset: a record there that must wait is quarantined instead, by a person's order."""

    def __init__(self, engine: Engine, image: Image, now: int, orders: Mapping[int, str] = NO_ORDERS) -> None:
        self.engine, self.image, self.now, self._orders = engine, image, now, orders
        self.changes = Changes(image.partition, image.inbox_next, image.sequence, image.recorded)
        self.aside = Aside(engine, image, self.changes, now)
        self.deciding = Deciding(engine, image, self.changes, self.aside, now)

    def take_all(self, records: Batch) -> bool:
        """Handle them in order. False: one must wait, and so must all behind it."""
        return all(map(self.take, records))

    def take(self, record: InboxRecord) -> bool:
        """Handle one record. False: it must wait, and so must all behind it."""
        try:
            if record[2] is not None and record[2][:1] == CONTROL:
                obey(self, record)
            else:
                envelope, data = self.open(record)
                if type(data) not in self.engine.rules:
                    return self._wait(record, self._why_unhandled(data))
                self._admit(record, envelope, data)
        except SchemaNotFound as error:
            return self._wait(record, str(error))
        except (InvalidEvent, UndecodableRecord) as error:
            self.aside.quarantine(record, str(error))
        return self._done(record)

    def refuse(self, record: InboxRecord, reason: str) -> None:
        """Quarantine by reference: the inbox still holds what no transaction can."""
        offset, _, _, _, stamp = record
        self.aside.quarantine((offset, None, b"", None, stamp), reason)
        self._done(record)

    def _done(self, record: InboxRecord) -> bool:
        self.changes.inbox_next = record[0] + 1
        self.changes.handled += 1
        return True

    def _wait(self, record: InboxRecord, reason: str) -> bool:
        if (order := self._orders.get(record[0])) is not None:
            self.aside.quarantine(record, order, reason)
            return self._done(record)
        self.changes.blocked = Blocked(record[0], reason)
        return False

    def open(self, record: InboxRecord) -> tuple[Envelope, EventData]:
        value = record[2]
        if value is None:
            raise UndecodableRecord("it has no value; expected an event in Confluent's wire format")
        if len(value) > self.engine.limits.event_bytes:
            raise InvalidEvent(f"it holds {len(value)} bytes; an event may hold {self.engine.limits.event_bytes}")
        return self.engine.envelopes.read(record[3]), self.engine.codec.decode(value)

    def _why_unhandled(self, data: EventData) -> str:
        """Its handler is not deployed yet. Raises InvalidEvent for an event of another namespace."""
        if not data.event_type.startswith(self.engine.namespace.name + "."):
            raise InvalidEvent(f"{data.event_type} belongs to another namespace than {self.engine.namespace.name}")
        return f"{data.event_type} has no handler in the application {self.engine.app.name}"

    def _admit(self, record: InboxRecord, envelope: Envelope, data: EventData) -> None:
        """Right place, not a duplicate, its key not parked: then it is decided. Raises InvalidEvent."""
        if envelope.type is not None and envelope.type != data.event_type:
            raise InvalidEvent(f"its ce_type says {envelope.type[:100]!r}, its schema is {data.event_type}'s")
        offset, record_key, _, _, stamp = record
        key = data.key
        key_bytes = key.encode()
        entry = self.changes.rows.get(key) or self.image.rows.get(key)
        if record_key != key_bytes or (entry is None and not self._is_ours(key_bytes)):
            self._move(record, envelope, key_bytes)
            return
        event_id = envelope.id or position_id(self.engine.inbox.topic_id, self.image.partition, offset)
        event = event_of(data, envelope, event_id, envelope.time or from_micros(stamp * 1000))
        arrival = Arrival(record, envelope, event, envelope.digest)
        request = _request_of(arrival)
        if request is not None:
            self._answer(arrival, request)
        elif not self._is_duplicate(arrival):
            self._decide(arrival)

    def _decide(self, arrival: Arrival) -> None:
        """Unless its key is parked."""
        hops = arrival.envelope.hops
        if self.aside.blocks(arrival.event.key):
            self.aside.park(arrival, BEHIND)
        elif hops > HOPS_LIMIT:
            self.aside.park(arrival, f"it is {hops} events away from its root; at most {HOPS_LIMIT}")
        else:
            self.deciding.decide(arrival)

    def _answer(self, arrival: Arrival, request: str) -> None:
        """A gateway's answer: its id comes from its request's, so that of two answers one is handled (rule 23)."""
        if self._is_pending(request):
            self._decide(arrival)
            self.changes.settled[request] = None
        elif not answer_at_last(self, arrival, request):
            try:
                again = self._is_duplicate(arrival)
            except InvalidEvent:
                again = False
            if not again:
                self.deciding.reject(arrival, "already answered")

    def _is_ours(self, key: bytes) -> bool:
        place = self.engine.inbox.place
        return place is None or place(key) == self.image.partition

    def _is_duplicate(self, arrival: Arrival) -> bool:
        """Answer a duplicate with the first outcome. Raises InvalidEvent for a known id with another body: a conflict."""
        changes, image, record, digest = self.changes, self.image, arrival.record, arrival.digest
        if digest is None:
            return False
        found = changes.remembered.get(digest) or image.window.find(digest, changes.sequence)
        if found is None:
            body = changes.parked_ids.get(digest) or image.parked_ids.get(digest)
            if body is None:
                return False
            found = (changes.sequence, body, PARKED)
        sequence, body, outcome = found
        if body != hash(record[2]):
            raise InvalidEvent(f"an event of this id and source was {outcome} before, with another body")
        changes.duplicates.append(Duplicate(record[0], sequence, outcome))
        changes.counters.duplicates += 1
        return True

    def _is_pending(self, request: str) -> bool:
        """Whether a request waits for its gateway's answer."""
        asked = request in self.image.calls or request in self.changes.calls
        return asked and request not in self.changes.settled

    def _move(self, record: InboxRecord, envelope: Envelope, key: bytes) -> None:
        """Publish it to where its data's key belongs, in the same transaction; it is handled there (rule 14).

        What it would have got from its place, its id and time, goes with it.
        """
        offset, _, value, _, stamp = record
        assert value is not None
        headers = list(envelope.carried)
        if envelope.id is None:
            headers.append(("ce_id", position_id(self.engine.inbox.topic_id, self.image.partition, offset).encode()))
        if envelope.time is None:
            headers.append(("ce_time", from_micros(stamp * 1000).isoformat().encode()))
        self.changes.emitted.append(Emitted(self.engine.namespace.name, key, value, headers))
        self.changes.counters.moved += 1


def _request_of(arrival: Arrival) -> str | None:
    """The reference of the request that it answers; None: it is no gateway's answer."""
    event = arrival.event
    if event.cause is None:
        return None
    request = reference_of(arrival.envelope.cause_source, event.cause)
    return request if event.id == answer_id(request) else None
