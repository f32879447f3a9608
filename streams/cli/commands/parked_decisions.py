"""What an operator types about events that are set aside, and what is said of what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.app import App
from streams.cli.arguments.fields import pairs
from streams.cli.arguments.lookup import event_class
from streams.cli.output.screen import plural
from streams.codec import AvroCodec
from streams.engine.parking import BEHIND
from streams.engine.records import PARKED, UNANSWERED
from streams.errors import InvalidEvent
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.kafka.parked_checks import answer_value, declared_answers, refuse_unasked
from streams.receipt import EventOutcome


def answer_of(app: App, codec: AvroCodec, event: ParkedEntry, words: Sequence[str]) -> bytes:
    """The answer to an unanswered request, in the wire format. `words` are its event and its fields.

    Raises InvalidEvent unless the request's gateway declares the event, and it is about the request's key.
    """
    refuse_unasked(event)
    if not words:
        raise InvalidEvent(
            "an answer is an event: give its type, then its fields, such as email.sent email=… to=… receipt=…"
        )
    declared_answers(app, codec, event)
    data = event_class(app, words[0])
    return answer_value(app, codec, event, data, pairs(words[1:]), texts=True)


def what_next(found: Iterable[ParkedEntry]) -> str:
    """What an operator can do about what is listed: a quarantined event can only be shown."""
    shown = "`retold parked show INBOX-OFFSET` shows one event"
    if any(event.header.key is not None for event in found):
        return f"{shown}; retry, reject or answer the first event of a key, and the rest follows."
    return f"{shown}. Quarantined events block nothing; publish corrected ones instead."


def is_called(queue: Iterable[ParkedEntry]) -> bool:
    """Whether a gateway is called when this queue is handled again: what becomes of that is not known at once."""
    return any(event.header.status == UNANSWERED for event in queue)


def still_aside(at: InboxOffset) -> str:
    """What to do about an event that was tried and raised again: trying once more would change nothing."""
    return (
        f"`retold parked show {at}` has its data, its time and the traceback. If the handler is wrong, deploy one that is right "
        f"and retry; if the event is, `retold parked reject {at} --why …` frees its key"
    )


def all_retried(namespace: str, count: int, left: int) -> str:
    """`count` keys were retried, and so many are still parked."""
    told = [f"{number:,} {what}" for number, what in ((count - left, "no longer parked"), (left, "still parked")) if number]
    return f"{plural(count, 'key')} of {namespace} retried: {', '.join(told)}."


def has_its_turn(queue: Sequence[ParkedEntry]) -> bool:
    """Whether the first event of a queue was not tried yet: one whose handler had raised before it is gone, so a worker goes on.

    A worker handles a long queue in several transactions, as one whose bodies it must read first.
    """
    return bool(queue) and queue[0].header.status == PARKED and queue[0].header.reason == BEHIND


def what_followed(
    what: str, event: ParkedEntry, became: EventOutcome | None = None, *, handled: int = 0, left: Sequence[ParkedEntry] = ()
) -> str:
    """A sentence on what a command has done, once its worker has handled it: what became of the event, and of those behind it.

    `handled` counts the events behind it that were handled, and `left` has those that were not.
    """
    if what == "retry" and is_called([event]):
        listed = f"`retold parked list {event.inbox_offset.namespace}`"
        return f"{event.inbox_offset} is a request, and its gateway is called again; if that fails, see {listed}."
    said = f"{event.inbox_offset} is no longer set aside"
    if became is not None:
        said = f"{event.inbox_offset} was {became.outcome}{f': {became.reason}' if became.reason else ''}"
    also = f"; {plural(handled, 'event')} behind it {'was' if handled == 1 else 'were'} handled" if handled else ""
    verb = "is" if len(left) == 1 else "are"
    how = f"not handled yet: see `retold parked list {event.inbox_offset.namespace}`" if has_its_turn(left) else "still parked"
    still = f"; {plural(len(left), 'event')} behind it {verb} {how}" if left else ""
    return f"{said}{also}{still}."
