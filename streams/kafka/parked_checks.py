"""What an operator decides about an event that is set aside, checked before it is sent: workers do not reply to commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.readable import shortened
from streams.engine.records import UNANSWERED
from streams.errors import InvalidEvent
from streams.eventfiles.convert import Converter
from streams.kafka.parked import InboxOffset, ParkedEntry


def one_at(inbox_offset: InboxOffset, found: Iterable[ParkedEntry]) -> ParkedEntry:
    """Raises InvalidEvent if nothing is set aside there."""
    for event in found:
        if event.inbox_offset == inbox_offset:
            return event
    raise InvalidEvent(f"nothing is set aside at {inbox_offset}: see `retold parked list {inbox_offset.namespace}`")


def first_at(inbox_offset: InboxOffset, found: Sequence[ParkedEntry]) -> tuple[ParkedEntry, str]:
    """What is parked at a place, and the key that it blocks. `found` is in the order of places.

    Raises InvalidEvent for what is quarantined, and for what stands behind another event of its key.
    """
    event = one_at(inbox_offset, found)
    key = event.header.key
    if key is None:
        raise InvalidEvent(
            f"{inbox_offset} is quarantined: it blocks no other event, and no handler can read it ({event.header.reason}). Publish "
            "a corrected event instead"
        )
    first = next(it for it in found if it.header.key == key)
    if first.inbox_offset != inbox_offset:
        raise InvalidEvent(
            f"{inbox_offset} is not the first parked event of the key {shortened(key, 100)!r}, and only the first can be retried, "
            f"rejected or answered: it is {first.inbox_offset}. Name that one; the events behind it follow"
        )
    return event, key


def why_unchanged(inbox_offset: InboxOffset, key: str, sent: InboxOffset, found: Iterable[ParkedEntry]) -> str:
    """Why a decision that its worker has handled left what it is about as it was. It is at `sent` in the inbox.

    `found` has what is set aside of its key, and at `sent`, in the order of places.
    """
    there = list(found)
    refused = next((it.header.reason for it in there if it.inbox_offset == sent and it.header.key is None), None)
    if refused is not None:
        return f"{inbox_offset} is as it was: the decision could not be carried out, and is quarantined as {sent}: {refused}"
    first = next((it.inbox_offset for it in there if it.header.key == key), inbox_offset)
    if first != inbox_offset:
        return (
            f"{inbox_offset} is as it was: meanwhile {first} was set aside before it, and only the first of a key can be retried, "
            "rejected or answered. Name that one; the events behind it follow"
        )
    return f"{inbox_offset} is as it was: its worker has seen the decision, and cannot read or handle the event"


def refuse_unasked(event: ParkedEntry) -> None:
    """Raises InvalidEvent unless it is a request whose gateway gave no answer."""
    if event.header.status != UNANSWERED:
        raise InvalidEvent(
            f"{event.inbox_offset} was parked by its handler, not by its gateway: fix the handler, then retry it"
        )


def declared_answers(app: App, codec: AvroCodec, event: ParkedEntry) -> tuple[Sequence[type[EventData]], str]:
    """What the gateway of a request declares, and the request's event. Raises InvalidEvent if there is no such gateway now."""
    request = codec.decode(event.value).event_type
    for gateway in app.gateways:
        if gateway.data.event_type == request:
            return gateway.answers, request
    raise InvalidEvent(
        f"{event.inbox_offset} is a request, {request}, and {app.name} has no gateway for it now, so it cannot be answered. "
        "Reject it with `retold parked reject`"
    )


def answer_value(
    app: App, codec: AvroCodec, event: ParkedEntry, data: type[EventData], values: Mapping[str, Any], *, texts: bool
) -> bytes:
    """The answer to an unanswered request, in the wire format. `texts`: its values are written as in a file.

    Raises InvalidEvent unless the request's gateway declares the event, and it is about the request's key.
    """
    refuse_unasked(event)
    answers, request = declared_answers(app, codec, event)
    if data not in answers:
        names = ", ".join(answer.event_type for answer in answers) or "nothing"
        raise InvalidEvent(
            f"{event.inbox_offset} is a request, {request}, and its gateway does not answer with {data.event_type}; "
            f"it declares: {names}"
        )
    answer = Converter(data, texts=texts, noun="field")(values)
    if answer.key != event.header.key:
        raise InvalidEvent(
            f"{event.inbox_offset} is a request about {shortened(event.header.key or '', 100)!r}, and this answer is about "
            f"{shortened(answer.key, 100)!r}: an answer has the request's key, so the field {data.key_field!r} must be "
            f"{shortened(event.header.key or '', 100)!r}"
        )
    return codec.encode(answer)
