"""What an operator decides about events that are set aside, checked before it is sent: workers do not reply to commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.app import App
from streams.cli.arguments.fields import pairs
from streams.cli.arguments.lookup import event_class
from streams.cli.output.screen import plural
from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.readable import shortened
from streams.engine.records import UNANSWERED
from streams.errors import InvalidEvent
from streams.eventfiles.convert import Converter
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.receipt import EventOutcome


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


def answer_of(app: App, codec: AvroCodec, event: ParkedEntry, words: Sequence[str]) -> bytes:
    """The answer to an unanswered request, in the wire format. `words` are its event and its fields.

    Raises InvalidEvent unless the request's gateway declares the event, and it is about the request's key.
    """
    if event.header.status != UNANSWERED:
        raise InvalidEvent(
            f"{event.inbox_offset} was parked by its handler, not by its gateway: fix the handler, then retry it"
        )
    if not words:
        raise InvalidEvent(
            "an answer is an event: give its type, then its fields, such as email.sent email=… to=… receipt=…"
        )
    answers, request = _answers(app, codec, event)
    data = event_class(app, words[0])
    if data not in answers:
        names = ", ".join(answer.event_type for answer in answers) or "nothing"
        raise InvalidEvent(
            f"{event.inbox_offset} is a request, {request}, and its gateway does not answer with {data.event_type}; "
            f"it declares: {names}"
        )
    answer = Converter(data, texts=True, noun="field")(pairs(words[1:]))
    if answer.key != event.header.key:
        raise InvalidEvent(
            f"{event.inbox_offset} is a request about {shortened(event.header.key or '', 100)!r}, and this answer is about "
            f"{shortened(answer.key, 100)!r}: an answer has the request's key, so the field {data.key_field!r} must be "
            f"{shortened(event.header.key or '', 100)!r}"
        )
    return codec.encode(answer)


def _answers(app: App, codec: AvroCodec, event: ParkedEntry) -> tuple[Sequence[type[EventData]], str]:
    """What the gateway of a request declares, and the request's event."""
    request = codec.decode(event.value).event_type
    for gateway in app.gateways:
        if gateway.data.event_type == request:
            return gateway.answers, request
    raise InvalidEvent(
        f"{event.inbox_offset} is a request, {request}, and {app.name} has no gateway for it now, so it cannot be answered. "
        "Reject it with `retold parked reject`"
    )


def what_next(found: Iterable[ParkedEntry]) -> str:
    """What an operator can do about what is listed: a quarantined event can only be shown."""
    shown = "`retold parked show INBOX-OFFSET` shows one event"
    if any(event.header.key is not None for event in found):
        return f"{shown}; retry, reject or answer the first event of a key, and the rest follows."
    return f"{shown}. Quarantined events block nothing; publish corrected ones instead."


def is_called(queue: Iterable[ParkedEntry]) -> bool:
    """Whether a gateway is called when this queue is handled again: what becomes of that is not known at once."""
    return any(event.header.status == UNANSWERED for event in queue)


def what_followed(
    what: str, event: ParkedEntry, became: EventOutcome | None = None, *, handled: int = 0, parked: int = 0
) -> str:
    """A sentence on what a command has done, once its worker has handled it: what became of the event, and of those behind it.

    `handled` and `parked` count the events behind it that were handled, and that are parked still.
    """
    if what == "retry" and is_called([event]):
        listed = f"`retold parked list {event.inbox_offset.namespace}`"
        return f"{event.inbox_offset} is a request, and its gateway is called again; if that fails, see {listed}."
    said = f"{event.inbox_offset} is no longer set aside"
    if became is not None:
        said = f"{event.inbox_offset} was {became.outcome}{f': {became.reason}' if became.reason else ''}"
    also = f"; {plural(handled, 'event')} behind it {'was' if handled == 1 else 'were'} handled" if handled else ""
    still = f"; {plural(parked, 'event')} behind it {'is' if parked == 1 else 'are'} still parked" if parked else ""
    return f"{said}{also}{still}."
