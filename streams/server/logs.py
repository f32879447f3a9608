"""Records of event logs and of what is set aside, read into what is followed."""

from __future__ import annotations

from contextlib import suppress

from confluent_kafka import Message

from streams.engine.envelope import EnvelopeReader, event_again, from_micros, parked_header, without_packed
from streams.engine.fold import read_logged
from streams.engine.records import PARKED
from streams.errors import StreamsError
from streams.kafka.follow import LogEvent
from streams.kafka.read import headers_of
from streams.kafka.schemas_topic import Learning
from streams.receipt import set_aside
from streams.server.followed import Followed, Place
from streams.server.keys import has_key
from streams.server.merge import Merge, time_order
from streams.server.recent import known


class Logs:
    """All logs: the past merged by time, then as it comes."""

    def __init__(self, followed: Followed, learning: Learning) -> None:
        self.merge = Merge(followed.places())
        self._followed, self._learning = followed, learning
        self._envelopes = EnvelopeReader()

    def take(self, place: Place, message: Message) -> None:
        """Raises SchemaNotFound or UndecodableRecord."""
        data, headers = self._learning.decode(message.value() or b""), headers_of(message)
        event, header = read_logged(self._envelopes, data, headers)
        logged = LogEvent(
            *place, message.offset() or 0, header.sequence, from_micros(header.recorded), header.outcome,
            header.reason, event, bool(header.wrong_version),
        )  # fmt: skip
        if has_key(event.source, event.id):
            expected = self._envelopes.read(without_packed(headers)).expected_version
            self._followed.remember(event, place, header.offset, expected)
        self.merge.add(place, (logged, header.offset))

    def flush(self) -> None:
        for event, inbox_offset in sorted(self.merge.ready(), key=time_order):
            self._followed.logged(event, inbox_offset)

    def take_parked(self, place: Place, message: Message) -> None:
        if message.value() is None:
            return
        header = parked_header(headers_of(message))
        found = dict(headers_of(message))
        event_type, event_id, source = (
            (found.get(name) or b"").decode(errors="replace") for name in ("ce_type", "ce_id", "ce_source")
        )
        became = known(set_aside(header), event_type or None, header.key, event_id or None)
        self._followed.set_aside(place, int(message.key() or b"0"), became)
        if header.status == PARKED and has_key(source, event_id):
            with suppress(StreamsError):  # kept by reference, or not to be read here: its key is not known then
                envelope = self._envelopes.read(without_packed(headers_of(message)))
                event = event_again(self._learning.decode(message.value() or b""), envelope, header)
                self._followed.remember(event, place, header.offset, envelope.expected_version)
