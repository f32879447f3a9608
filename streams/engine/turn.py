"""One batch of one partition being handled: an overlay over the image, dropped or applied as a whole (rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streams.data import EventData, Record
from streams.engine.aside import REASON_LIMIT, Aside
from streams.engine.control import PREFIX as CONTROL
from streams.engine.control import obey
from streams.engine.emissions import Emissions
from streams.engine.envelope import (
    HOPS_LIMIT,
    Envelope,
    LogHeader,
    event_of,
    from_micros,
    pack,
    to_micros,
)
from streams.engine.identity import answer_id, fingerprint_of, position_id
from streams.engine.image import Image
from streams.engine.records import (
    ACCEPTED,
    PARKED,
    REJECTED,
    WRONG_VERSION,
    Batch,
    Blocked,
    Call,
    Changes,
    Duplicate,
    Emitted,
    Entry,
    InboxRecord,
    LogRecord,
)
from streams.errors import InvalidEvent, SchemaNotFound, UndecodableRecord
from streams.event import Event
from streams.outcome import Emission, Rejected

if TYPE_CHECKING:
    from streams.engine.engine import Engine, Rule

HOUR = 3_600_000_000
ABSENT: Entry = (None, 0)


class Turn:
    def __init__(self, engine: Engine, image: Image, now: int) -> None:
        self.engine, self.image, self.now = engine, image, now
        self.codec = engine.codec
        self.changes = Changes(image.partition, image.inbox_next, image.sequence, image.recorded)
        self.aside = Aside(engine, image, self.changes, now)

    def take_all(self, records: Batch) -> bool:
        """Handle them in order. False: one must wait, and so must all behind it."""
        return all(map(self.take, records))

    def take(self, record: InboxRecord) -> bool:
        """Handle one record. False: it must wait, and so must all behind it."""
        changes = self.changes
        try:
            if record[2] is not None and record[2][:1] == CONTROL:
                return self._obey(record)
            envelope, data = self.open(record)
        except SchemaNotFound as error:
            changes.blocked = Blocked(record[0], str(error))
            return False
        except (InvalidEvent, UndecodableRecord) as error:
            self.aside.quarantine(record, str(error))
        else:
            rule = self.engine.rules.get(type(data))
            if rule is None:
                return self._foreign(record, data)
            if envelope.type is not None and envelope.type != rule.event_type:
                self.aside.quarantine(
                    record, f"its ce_type says {envelope.type[:100]!r}, its schema is {rule.event_type}'s"
                )
            else:
                self._admit(record, envelope, data, rule)
        changes.inbox_next = record[0] + 1
        changes.handled += 1
        return True

    def _obey(self, record: InboxRecord) -> bool:
        try:
            obey(self, record)
        except (InvalidEvent, UndecodableRecord) as error:
            self.aside.quarantine(record, str(error))
        self.changes.inbox_next = record[0] + 1
        self.changes.handled += 1
        return True

    def refuse(self, record: InboxRecord, reason: str) -> None:
        """Quarantine by reference: the inbox still holds what no transaction can."""
        offset, _, _, _, stamp = record
        self.aside.quarantine((offset, None, b"", None, stamp), reason)
        self.changes.inbox_next = offset + 1
        self.changes.handled += 1

    def open(self, record: InboxRecord) -> tuple[Envelope, EventData]:
        value = record[2]
        if value is None:
            raise UndecodableRecord("it has no value; expected an event in Confluent's wire format")
        if len(value) > self.engine.limits.event_bytes:
            raise InvalidEvent(f"it holds {len(value)} bytes; an event may hold {self.engine.limits.event_bytes}")
        return self.engine.envelopes.read(record[3]), self.codec.decode(value)

    def _foreign(self, record: InboxRecord, data: EventData) -> bool:
        """An event that decodes but has no rule here: another namespace's, or one whose handler is not deployed yet."""
        name = data.event_type
        if name.startswith(self.engine.namespace.name + "."):
            self.changes.blocked = Blocked(
                record[0], f"{name} has no handler in the application {self.engine.app.name}"
            )
            return False
        self.aside.quarantine(record, f"{name} belongs to another namespace than {self.engine.namespace.name}")
        self.changes.inbox_next = record[0] + 1
        self.changes.handled += 1
        return True

    def _admit(self, record: InboxRecord, envelope: Envelope, data: EventData, rule: Rule) -> None:
        """Right place, not a duplicate, its key not parked: then it is decided."""
        offset, record_key, value, _, stamp = record
        assert value is not None
        key = data.key
        key_bytes = key.encode()
        image, changes = self.image, self.changes
        entry = changes.rows.get(key) or image.rows.get(key)
        if record_key != key_bytes or (entry is None and not self._is_ours(key_bytes)):
            self._move(record, envelope, key_bytes)
            return
        event_id = envelope.id
        digest = None
        if event_id is None:
            event_id = position_id(self.engine.inbox.topic_id, image.partition, offset)
        else:
            digest = fingerprint_of(envelope.source, event_id)
            if self._known(record, digest, value):
                return
        event = event_of(data, envelope, event_id, envelope.time or from_micros(stamp * 1000))
        answers = event.cause is not None and event_id == answer_id(event.cause)
        if answers and self._is_settled(event.cause):
            self.reject(record, envelope, event, digest, "already answered")
            return
        if self.aside.blocks(key):
            self.aside.park(record, envelope, event, digest, "an event of this key before it is parked")
        elif envelope.hops > HOPS_LIMIT:
            why = f"it is {envelope.hops} events away from its root; at most {HOPS_LIMIT}"
            self.aside.park(record, envelope, event, digest, why)
        else:
            self.decide(record, envelope, event, rule, digest)
        if answers:
            changes.settled.append(event.cause or "")

    def _is_ours(self, key: bytes) -> bool:
        place = self.engine.inbox.place
        return place is None or place(key) == self.image.partition

    def _known(self, record: InboxRecord, digest: bytes, value: bytes) -> bool:
        """Answer a duplicate with the first outcome; the same id with another body is a conflict."""
        changes, image = self.changes, self.image
        found = changes.remembered.get(digest) or image.window.find(digest, changes.sequence)
        if found is None:
            body = changes.parked_ids.get(digest) or image.parked_ids.get(digest)
            if body is None:
                return False
            found = (changes.sequence, body, PARKED)
        sequence, body, outcome = found
        if body == hash(value):
            changes.duplicates.append(Duplicate(record[0], sequence, outcome))
            changes.counters.duplicates += 1
        else:
            self.aside.quarantine(record, f"an event of this id and source was {outcome} before, with another body")
        return True

    def _is_settled(self, cause: str | None) -> bool:
        """Whether a gateway's answer comes for a request that waits for none (rule 23)."""
        return cause not in self.image.calls or cause in self.changes.settled

    def reject(
        self, record: InboxRecord, envelope: Envelope, event: Event[Any], digest: bytes | None, reason: str
    ) -> None:
        """Without asking the handler."""
        self._accept_or_reject(record, envelope, event, digest, self._recorded(envelope, event), reason)

    def decide(
        self, record: InboxRecord, envelope: Envelope, event: Event[Any], rule: Rule, digest: bytes | None
    ) -> bool:
        """Ask the handler, and note what follows. False: it raised, and the event is parked."""
        engine, changes = self.engine, self.changes
        row, version = changes.rows.get(event.key) or self.image.rows.get(event.key) or ABSENT
        emit: Sequence[Emission]
        reason, new, row_bytes = None, row, None
        recorded = self._recorded(envelope, event)
        try:
            try:
                expected = envelope.expected_version
                if expected is not None and expected != version and (expected or row is not None):
                    raise Rejected(f"{WRONG_VERSION} expected {expected}, the row is at {version if row else 0}")
                outcome = engine.decide(rule, row, event)
                emit = outcome.emit
                if rule.handler is not None:
                    new, row_bytes = self._settle(rule, outcome.row)
            except Rejected as no:
                emit, reason = no.emit, str(no.reason)[:REASON_LIMIT]
            following = Emissions(engine, event, envelope, recorded, self.now).of(emit, rule.emits) if emit else None
        except Exception as error:  # noqa: BLE001 - whatever a handler raises parks its event and stops nobody else
            self.aside.raised(record, envelope, event, digest, error)
            return False
        self._accept_or_reject(record, envelope, event, digest, recorded, reason)
        if following is not None:
            changes.emitted += following.now
            changes.due += following.later
            changes.counters.emitted += len(following.now)
        if row_bytes is not None:
            changes.rows[event.key] = (new, changes.sequence)
            changes.row_bytes[event.key] = row_bytes
        elif reason is None:
            offset, _, value, _, _ = record
            changes.calls.append(Call(event, recorded, offset, value or b"", envelope.carried, envelope.hops))
        return True

    def _accept_or_reject(
        self,
        record: InboxRecord,
        envelope: Envelope,
        event: Event[Any],
        digest: bytes | None,
        recorded: int,
        reason: str | None,
    ) -> None:
        """Append to the log, remember the id, and count; with a `reason` it was rejected."""
        changes = self.changes
        changes.sequence += 1
        changes.recorded = recorded
        self._log(record, envelope, event, recorded, reason)
        if digest is not None:
            changes.remembered[digest] = (changes.sequence, hash(record[2]), ACCEPTED if reason is None else REJECTED)
        if reason is None:
            changes.counters.accepted += 1
            changes.accepted.append(event)
        else:
            changes.counters.rejected += 1
            changes.counters.derived_rejected += event.cause is not None

    def _settle(self, rule: Rule, row: Record | None) -> tuple[Record | None, bytes]:
        """The row frozen all the way down, and its bytes (none for a deleted row)."""
        if row is None:
            return None, b""
        frozen, encoded = self.codec.settle(row)
        if len(encoded) > self.engine.limits.row_bytes:
            raise InvalidEvent(
                f"the row that {rule.event_type} leaves holds {len(encoded)} bytes; a row may hold {self.engine.limits.row_bytes}"
            )
        return frozen, encoded

    def _recorded(self, envelope: Envelope, event: Event[Any]) -> int:
        """Later than the partition's last and than its cause, which is believed up to an hour ahead (rules 10 and 18)."""
        recorded = max(self.now, self.changes.recorded + 1)
        ahead = envelope.cause_time
        if ahead is not None and event.cause is not None and ahead <= self.now + HOUR:
            recorded = max(recorded, ahead + 1)
        return recorded

    def _log(
        self, record: InboxRecord, envelope: Envelope, event: Event[Any], recorded: int, reason: str | None
    ) -> None:
        value, sequence = record[2], self.changes.sequence
        assert value is not None
        header = LogHeader(
            sequence,
            recorded,
            record[0],
            ACCEPTED if reason is None else REJECTED,
            self.codec.fingerprint(value),
            reason,
            None if envelope.id else event.id,
            None if envelope.time else to_micros(event.time),
        )
        key = b"%b@%d" % (record[1] or b"", sequence)
        self.changes.log.append(LogRecord(key, value, [*envelope.carried, pack(header)]))

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
