"""Control records: what a person says of a parked key, met by its owner in order, like an event (rule 12).

A control record lies in the inbox under the entity's key: the byte 0x01, then JSON. It names who gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from streams.engine.aside import BEHIND
from streams.engine.envelope import (
    KEY_HEADER,
    Arrival,
    event_again,
    event_of,
    from_micros,
    parked_header,
    without_packed,
)
from streams.engine.pending import answer_headers, request_of
from streams.engine.records import UNANSWERED, Emitted, InboxRecord, SetAside
from streams.errors import InvalidEvent, StreamsError

if TYPE_CHECKING:
    from streams.engine.turn import Turn

PREFIX = b"\x01"
AT_ONCE = 500
"""Events of a queue that one command handles: as long as it is at it, the group hears nothing of the worker."""


class Control(msgspec.Struct, frozen=True):
    """`offset` names the first of the key's queue, so that a command said twice does nothing the second time.

    `retry` handles the queue again; `reject` takes its first event as rejected; `answer` gives `value`, an event in the
    wire format, as the answer of an unanswered request that is first in the queue.

    `quarantine` is about no key but about the record at `offset`, at which its partition waits. It lies behind that record
    in the same partition, so the owner looks ahead for it (rule 11); when it is met in order, all is done.
    """

    command: Literal["retry", "reject", "answer", "quarantine"]
    key: str
    offset: int
    who: str
    why: str = ""
    value: bytes = b""


_decoder = msgspec.json.Decoder(Control)


def encode(control: Control) -> bytes:
    return PREFIX + msgspec.json.encode(control)


def read(record_key: bytes | None, value: bytes) -> Control:
    """Raises InvalidEvent for a record that is no control record of its key."""
    try:
        control = _decoder.decode(value[1:])
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"it is a control record that does not read: {error}") from error
    if record_key != control.key.encode():
        raise InvalidEvent(f"it is a control record of {control.key[:100]!r} under another key")
    return control


def order_to_quarantine(record_key: bytes | None, value: bytes | None) -> Control | None:
    """None for every other record, readable or not."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        control = read(record_key, value)
    except InvalidEvent:
        return None
    return control if control.command == "quarantine" else None


def obey(turn: Turn, record: InboxRecord) -> None:
    """Do what it says. A command for a place that is first in no queue (any more) does nothing.

    Raises InvalidEvent for a record that is no control record of its key.
    """
    control = read(record[1], record[2] or b"")
    turn.changes.counters.control += 1
    if control.command == "quarantine":
        return
    queue = turn.aside.queue(control.key)
    if not queue or queue[0].offset != control.offset:
        return
    first, rest = queue[0], queue[1:]
    turn.changes.queues[control.key] = []
    if control.command == "retry":
        _again(turn, control.key, queue, control.who)
        return
    try:
        _reject(turn, control, first) if control.command == "reject" else _answer(turn, control, first, record)
    except StreamsError:  # also SchemaNotFound: the partition waits, and the key stays as it was
        turn.changes.queues[control.key] = [*queue]  # what lies in the image stays as it is
        turn.changes.counters.control -= 1
        raise
    _go_on(turn, control.key, first, rest, control.who)


def answer_at_last(turn: Turn, arrival: Arrival, request: str) -> bool:
    """Let the answer of a request that was given up meanwhile take its place. False: no such request is parked."""
    key = arrival.event.key
    queue = turn.aside.queue(key)
    place = next((number for number, aside in enumerate(queue) if _is_request(turn, aside, request)), None)
    if place is None:
        return False
    before, first, rest = queue[:place], queue[place], queue[place + 1 :]
    turn.changes.queues[key] = before
    arrival = replace(arrival, place=first.offset)
    if before:
        turn.aside.park(arrival, BEHIND)
        turn.changes.queues[key] += rest
    else:
        turn.deciding.decide(arrival)
        _go_on(turn, key, first, rest, turn.engine.source)
    return True


def _is_request(turn: Turn, aside: SetAside, reference: str) -> bool:
    header = parked_header(aside.headers)
    if header.status != UNANSWERED:
        return False
    call = request_of(turn.engine, aside.value, without_packed(aside.headers), header)
    return call.event.reference == reference


def _go_on(turn: Turn, key: str, first: SetAside, rest: list[SetAside], who: str) -> None:
    """After the first of a queue was dealt with."""
    if parked := turn.changes.queues[key]:  # an answer's handler raised: it stands in its request's place
        turn.changes.queues[key] = [*parked, *rest]
        return
    _gone(turn, first)
    _again(turn, key, rest, who)


def _again(turn: Turn, key: str, queue: list[SetAside], who: str) -> None:
    """Handle a queue in order, up to one that cannot be handled now either: it and the rest stay parked.

    A long queue goes on with a command of its own, in the next transaction or a later one; the key waits until then.
    """
    for number, aside in enumerate(queue):
        if number == AT_ONCE:
            turn.changes.queues[key] = queue[number:]
            following = Control("retry", key, aside.offset, who)
            turn.changes.emitted.append(Emitted(turn.engine.namespace.name, key.encode(), encode(following), []))
            return
        try:
            handled = _handle(turn, aside)
        except StreamsError:
            turn.changes.queues[key] = queue[number:]
            return
        if not handled:
            turn.changes.raised.pop()  # it was parked before: the breaker is for what is new, and whoever asked is told
            turn.changes.queues[key] = [*turn.aside.queue(key), *queue[number + 1 :]]
            return
        _gone(turn, aside)


def _handle(turn: Turn, aside: SetAside) -> bool:
    header, record = parked_header(aside.headers), _record_of(aside)
    envelope, data = turn.open(record)
    if header.status == UNANSWERED:
        call = request_of(turn.engine, aside.value, record[3] or [], header)
        turn.changes.calls[call.event.reference] = call
        return True
    event = event_again(data, envelope, header)
    return turn.deciding.decide(Arrival(record, envelope, event, envelope.digest, aside.offset))


def _reject(turn: Turn, control: Control, aside: SetAside) -> None:
    header, record = parked_header(aside.headers), _record_of(aside)
    if header.status == UNANSWERED:
        return  # its event was accepted; that nobody answers it any more needs no record
    envelope, data = turn.open(record)
    event = event_again(data, envelope, header)
    turn.deciding.reject(Arrival(record, envelope, event, envelope.digest), f"rejected by {control.who}: {control.why}")


def _answer(turn: Turn, control: Control, aside: SetAside, record: InboxRecord) -> None:
    header = parked_header(aside.headers)
    if header.status != UNANSWERED:
        raise InvalidEvent(f"{control.who} answers for an event that was parked by its handler, not by its gateway")
    engine = turn.engine
    call = request_of(engine, aside.value, _record_of(aside)[3] or [], header)
    answer = engine.codec.decode(control.value)
    engine.answer_value(call, answer)
    headers = answer_headers(engine, call, answer, turn.now)
    answered = (record[0], record[1], control.value, headers, record[4])
    envelope = engine.envelopes.read(headers)
    event = event_of(answer, envelope, envelope.id or "", envelope.time or from_micros(turn.now))
    turn.deciding.decide(Arrival(answered, envelope, event, envelope.digest, aside.offset))


def _gone(turn: Turn, aside: SetAside) -> None:
    turn.changes.unparked.append(aside.offset)
    envelope = turn.engine.envelopes.read(without_packed(aside.headers))
    if envelope.digest is not None:
        turn.changes.parked_ids[envelope.digest] = None


def _record_of(aside: SetAside) -> InboxRecord:
    """As it lay in the inbox, where its header says it did. Its time stamp is in the parked header, where it was needed."""
    key = next((value for name, value in aside.headers if name == KEY_HEADER), None)
    return (parked_header(aside.headers).offset, key, aside.value, without_packed(aside.headers), 0)
