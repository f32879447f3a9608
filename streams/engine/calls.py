"""Requests of gateways: what may answer them, what their answers say, and what becomes of those that nobody answers."""

from __future__ import annotations

from itertools import dropwhile

from streams.data import EventData, namespace_of
from streams.engine.changes import PendingCall, SetAsideRecord
from streams.engine.envelope import CONTENT_TYPE, caused_by, event_again, from_micros
from streams.engine.event_handlers import EventHandlers
from streams.engine.identity import answer_id
from streams.engine.overlay import Overlay
from streams.engine.parking import Parking
from streams.engine.records import EmittedRecord, Headers
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import InvalidEvent


class Calls:
    """Of one batch: adds to its overlay."""

    def __init__(self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay, parking: Parking) -> None:
        self._handlers, self._wire, self._overlay, self._parking = handlers, wire, overlay, parking

    def answer(self, call: PendingCall, answer: EventData) -> int:
        """Publish it; gives its size. The call leaves the due topic when its answer is handled, and not before (rule 23).

        Whatever became of the request meanwhile: the door counts the answer, rejects it or finds its request.
        Raises InvalidEvent for an answer that the gateway may not give; nothing is noted then.
        """
        value = answer_value(self._handlers, self._wire, call, answer)
        headers = answer_headers(self._handlers.source, call, answer, self._overlay.now)
        changes = self._overlay.changes
        changes.emitted.append(EmittedRecord(namespace_of(answer.event_type), answer.key.encode(), value, headers))
        changes.counters.emitted += 1
        changes.handled += 1
        return len(value)

    def give_up(self, call: PendingCall, reason: str, detail: str = "") -> int:
        """For now: the request is parked with its key, until an operator says retry, reject or answer. Gives the bytes parked.

        So are the requests of its key that were accepted after it: they may not be answered before it is. Nothing happens
        if it is pending no more.
        """
        changes, reference = self._overlay.changes, call.event.reference
        pending = self._overlay.calls_of(call.event.key)
        given_up = [*dropwhile(lambda it: it.event.reference != reference, pending)]
        for behind in given_up:
            first = behind.event.reference == reference
            why = (reason, detail) if first else ("a request of this key before it is unanswered", "")
            self._parking.unanswered(behind, *why)
            changes.settled[behind.event.reference] = None
        changes.handled += len(given_up)
        return sum(len(it.value) for it in given_up)


def answer_value(handlers: EventHandlers, wire: WireFormat, call: PendingCall, answer: EventData) -> bytes:
    """The answer's bytes. Raises InvalidEvent unless the gateway declares it, and it is about the request's key."""
    request = call.event
    handler = handlers.by_event.get(type(request.data))
    allowed = handler.answers if handler is not None else ()
    subject = f"the gateway of {request.data.event_type}"
    if type(answer) not in allowed:
        names = ", ".join(it.event_type for it in allowed) or "nothing"
        raise InvalidEvent(f"{subject} answered {type(answer).__name__}; it declares: {names}")
    value = wire.codec.encode(answer)  # before its key is looked at: nobody has checked that it is a text
    if answer.key != request.key:
        raise InvalidEvent(
            f"{subject} was asked about {request.key[:100]!r} and answered about {answer.key[:100]!r}: an answer "
            "belongs to the request's key"
        )
    if len(value) > wire.limits.event_bytes:
        raise too_large(f"{subject} answered {answer.event_type}, which", value, wire.limits)
    return value


def answer_headers(source: str, call: PendingCall, answer: EventData, now: int) -> Headers:
    """The answer's id comes from its request alone: two owners cannot both be believed. Its time is the clock's."""
    request = call.event
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", answer_id(request.reference).encode()),
        ("ce_type", answer.event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", from_micros(now).isoformat().encode()),
        ("content-type", CONTENT_TYPE),
        *caused_by(request, call.recorded, call.hops),
    ]


def request_of(wire: WireFormat, aside: SetAsideRecord) -> PendingCall:
    """The call of a request that was parked unanswered."""
    envelope, data, header = wire.envelopes.read(aside.carried), wire.codec.decode(aside.value), aside.header
    event = event_again(data, envelope, header)
    recorded = header.recorded if header.asked is None else header.asked
    return PendingCall(event, recorded, header.offset, aside.value, aside.carried, envelope.hops)
