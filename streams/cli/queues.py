"""What a person may say of what is set aside, checked before it is sent: no owner answers a command that does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.app import App
from streams.cli.names import event_class
from streams.cli.publish import pairs
from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.records import UNANSWERED
from streams.errors import InvalidEvent
from streams.kafka.parked import Place, SetAsideNow
from streams.sources.convert import Converter


def one_at(place: Place, found: Iterable[SetAsideNow]) -> SetAsideNow:
    """Raises InvalidEvent if nothing is set aside there."""
    for kept in found:
        if kept.place == place:
            return kept
    raise InvalidEvent(f"nothing is set aside at {place}: `retold parked list {place.namespace}` shows what is")


def first_at(place: Place, found: Sequence[SetAsideNow]) -> tuple[SetAsideNow, str]:
    """What is parked at a place, and the key that it blocks. `found` is in the order of places.

    Raises InvalidEvent for what is quarantined, and for what stands behind another event of its key.
    """
    kept = one_at(place, found)
    key = kept.header.key
    if key is None:
        raise InvalidEvent(
            f"{place} is quarantined: it blocks nobody, and no handler can read it ({kept.header.reason}). Publish it "
            "again as it should be"
        )
    first = next(it for it in found if it.header.key == key)
    if first.place != place:
        raise InvalidEvent(
            f"{place} is not the first of the queue of {key[:100]!r}, and only the first can be retried, rejected or "
            f"answered: it is {first.place}. Name that one; what stands behind it goes on with it"
        )
    return kept, key


def answer_of(app: App, codec: AvroCodec, kept: SetAsideNow, words: Sequence[str]) -> bytes:
    """The answer to an unanswered request, in the wire format. `words` are its event and its fields.

    Raises InvalidEvent unless the request's gateway declares the event, and it is about the request's key.
    """
    if kept.header.status != UNANSWERED:
        raise InvalidEvent(
            f"{kept.place} was parked by its handler, not by its gateway: mend the handler, then retry it"
        )
    if not words:
        raise InvalidEvent("an answer is an event: name it, then its fields, such as email.sent email=… to=… receipt=…")
    answers, request = _answers(app, codec, kept)
    data = event_class(app, words[0])
    if data not in answers:
        names = ", ".join(answer.event_type for answer in answers) or "nothing"
        raise InvalidEvent(
            f"{kept.place} is a request, {request}, and its gateway does not answer {data.event_type}; it declares: {names}"
        )
    answer = Converter(data, texts=True, noun="field")(pairs(words[1:]))
    if answer.key != kept.header.key:
        raise InvalidEvent(
            f"{kept.place} is a request about {(kept.header.key or '')[:100]!r}, and this answer is about "
            f"{answer.key[:100]!r}: an answer belongs to the request's key, so its {data.key_field} must be the former"
        )
    return codec.encode(answer)


def _answers(app: App, codec: AvroCodec, kept: SetAsideNow) -> tuple[Sequence[type[EventData]], str]:
    """What the gateway of a request declares, and the request's event."""
    request = codec.decode(kept.value).event_type
    for gateway in app.gateways:
        if gateway.data.event_type == request:
            return gateway.answers, request
    raise InvalidEvent(
        f"{kept.place} is a request, {request}, and {app.name} has no gateway for it now: only where there is one can it "
        "be answered. Take it as rejected with `retold parked reject`"
    )


def what_next(found: Iterable[SetAsideNow]) -> str:
    """What a person can do about what is listed: what is quarantined can only be looked at."""
    shown = "`retold parked show PLACE` tells all of one"
    if any(kept.header.key is not None for kept in found):
        return f"{shown}; retry, reject or answer the first of a key, and the rest goes on."
    return f"{shown}. What is quarantined blocks nobody; publish it again as it should be."


def is_called(queue: Iterable[SetAsideNow]) -> bool:
    """Whether a gateway is called when this queue is handled again: what becomes of that is not known at once."""
    return any(kept.header.status == UNANSWERED for kept in queue)


def what_followed(what: str, kept: SetAsideNow) -> str:
    """A sentence on what a command has done, once its owner has met it."""
    if what == "retry" and is_called([kept]):
        listed = f"`retold parked list {kept.place.namespace}`"
        return f"{kept.place} is a request, and its gateway is called again; {listed} shows it if that fails too."
    return f"{kept.place} is set aside no more."
