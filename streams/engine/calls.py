"""Gateways' requests: which answers are allowed, what an answer's record holds, and what happens without an answer."""

from __future__ import annotations

from itertools import dropwhile

from streams.data import EventData, namespace_of
from streams.engine.changes import PendingCall, SetAsideRecord
from streams.engine.envelope import CONTENT_TYPE, caused_by, event_again
from streams.engine.event_handlers import EventHandlers
from streams.engine.identity import answer_id
from streams.engine.overlay import Overlay
from streams.engine.parking import Parking
from streams.engine.readable import shortened
from streams.engine.records import UNANSWERED, EmittedRecord, Headers
from streams.engine.times import iso_text_of
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import InvalidEvent
from streams.event import reference_of


class Calls:
    """Ends the calls of one batch, by an answer or by giving up, in its overlay."""

    def __init__(self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay, parking: Parking) -> None:
        self._handlers, self._wire, self._overlay, self._parking = handlers, wire, overlay, parking
        self._shared = _shared_headers(handlers.source, overlay.now)

    def answer(self, call: PendingCall, answer: EventData, value: bytes = b"") -> int:
        """Publish an answer; returns its size. `value` has its bytes if it was checked already (`answer_value`).

        The call leaves the due topic when its answer is handled, not before (rule 23).
        The request may have changed meanwhile: admission finds it, or counts or rejects the answer.
        Raises InvalidEvent for an answer that the gateway does not declare or that is about another key; then nothing changes.
        """
        value = value or answer_value(self._handlers, self._wire, call, answer)
        headers = _answer_headers(self._shared, call, answer)
        changes = self._overlay.changes
        changes.emitted.append(EmittedRecord(namespace_of(answer.event_type), answer.key.encode(), value, headers))
        changes.counters.emitted += 1
        changes.handled += 1
        return len(value)

    def give_up(self, call: PendingCall, reason: str, detail: str = "") -> int:
        """Park the request with its key until an operator retries, rejects or answers it. Returns the bytes parked.

        Requests of the same key that were accepted after it are parked too: they may not be answered before it. Nothing
        happens if it is no longer pending. Raises BatchFull if bodies of those are not in memory, before anything happens.
        """
        changes, given_up = self._overlay.changes, self._from(call)
        for behind in given_up:
            first = behind.reference == call.reference
            why = (reason, detail) if first else ("a request of this key before it is unanswered", "")
            self._parking.unanswered(behind, *why)
            changes.settled[behind.reference] = None
        changes.handled += len(given_up)
        return sum(len(it.value) for it in given_up)

    def _from(self, call: PendingCall) -> list[PendingCall]:
        """The call, if it is pending, and those of its key behind it. Who has tried it has its body. Raises BatchFull."""
        found = list[PendingCall]()
        for it in dropwhile(lambda it: it.reference != call.reference, self._overlay.calls_of(call.key)):
            if isinstance(it, PendingCall):
                found.append(it)
            elif it.reference == call.reference:
                found.append(call)
            else:
                self._overlay.wait_for_bodies(call.key)
        return found


def answer_value(handlers: EventHandlers, wire: WireFormat, call: PendingCall, answer: EventData) -> bytes:
    """The answer's bytes. Raises InvalidEvent unless the gateway declares the answer and it has the request's key."""
    request = call.event
    handler = handlers.by_event.get(type(request.data))
    allowed = handler.answers if handler is not None else ()
    subject = f"the gateway of {request.data.event_type}"
    if type(answer) not in allowed:
        names = ", ".join(it.event_type for it in allowed) or "nothing"
        raise InvalidEvent(f"{subject} answered {type(answer).__name__}; it declares: {names}")
    _, value = wire.codec.encode_frozen_event(answer)  # first, since this checks that the key is a text
    if answer.key != request.key:
        raise InvalidEvent(
            f"{subject} was asked about {shortened(request.key, 100)!r} and answered about {shortened(answer.key, 100)!r}: an "
            "answer belongs to the request's key"
        )
    if len(value) > wire.limits.event_bytes:
        raise too_large(f"{subject} answered {answer.event_type}, which", value, wire.limits)
    return value


def answer_headers(source: str, call: PendingCall, answer: EventData, now: int) -> Headers:
    """The answer's id is derived from its request alone, so of two owners' answers only one counts. Its time is the clock's."""
    return _answer_headers(_shared_headers(source, now), call, answer)


def _shared_headers(source: str, now: int) -> Headers:
    """Those that all answers of a batch have."""
    return [("ce_source", source.encode()), ("ce_time", iso_text_of(now).encode()), ("content-type", CONTENT_TYPE)]


def _answer_headers(shared: Headers, call: PendingCall, answer: EventData) -> Headers:
    reference = call.reference
    trace = [pair for pair in call.headers if pair[0] == "traceparent"]
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", answer_id(reference).encode()),
        ("ce_type", answer.event_type.encode()),
        *shared,
        *caused_by(call.event, call.recorded, call.hops, reference),
        *trace[-1:],
    ]


def parked_request(wire: WireFormat, aside: SetAsideRecord) -> str:
    """The reference of a request that was parked unanswered; empty for what is parked as it was not handled."""
    if aside.status != UNANSWERED:
        return ""
    envelope = wire.envelopes.read(aside.carried)
    return reference_of(envelope.source, envelope.id or aside.header.id or "")


def request_of(wire: WireFormat, aside: SetAsideRecord) -> PendingCall:
    """The call of a request that was parked unanswered."""
    envelope, data, header = wire.envelopes.read(aside.carried), wire.codec.decode(aside.value), aside.header
    event = event_again(data, envelope, header)
    recorded = header.recorded if header.asked is None else header.asked
    return PendingCall(event, recorded, aside.offset, aside.value, aside.carried, envelope.hops, aside.timer)
