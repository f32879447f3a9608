"""`retold parked`: what is set aside, and what a person says about it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from streams.cli import exits
from streams.cli.connect import Session, connect
from streams.cli.names import namespace_named
from streams.cli.queues import answer_of, first_at, is_called, one_at, what_followed, what_next
from streams.cli.screen import cell_text, json_line, plain, plural, say, table, talk
from streams.cli.status import waits_text
from streams.engine.control import Control
from streams.engine.envelope import from_micros
from streams.engine.records import QUARANTINED
from streams.errors import EventSetAside, InvalidEvent, OutcomeTimeout, StreamsError
from streams.kafka.parked import Place, SetAsideNow, place_of, set_aside_now
from streams.kafka.parked import say as send
from streams.kafka.status import status

WAIT, TRIED_A_SECOND = 10.0, 100.0
SHOWN = 10


def listed(namespace: str | None, as_json: bool) -> int:
    session = connect()
    spaces = [namespace_named(session.app, namespace).name] if namespace else session.namespaces
    found = set_aside_now(session.clients, session.config.prefix, spaces)
    if as_json:
        for kept in found:
            json_line(_value(session, kept))
        return exits.OK
    for text in _waiting(session, spaces).values():
        talk(text)
    if not found:
        talk("Nothing is set aside.")
        return exits.OK
    rows = [
        (str(kept.place), kept.header.status, kept.header.key, _name(session, kept), kept.header.reason[:120])
        for kept in found
    ]
    table(("place", "status", "key", "event", "why"), rows)
    talk(what_next(found))
    return exits.OK


def show(place: str, as_json: bool) -> int:
    session = connect()
    at = place_of(place)
    kept = one_at(at, _found(session, at))
    if as_json:
        json_line(_value(session, kept))
        return exits.OK
    for name, value in _value(session, kept).items():
        if name != "detail" and value is not None:
            say(f"{name:10} {cell_text(value)}")
    if kept.header.detail:
        say("")
        say(kept.header.detail.rstrip())
    return exits.OK


def command(what: str, place: str, who: str | None, why: str, answer: Sequence[str] = ()) -> int:
    """Send a command about the first event of a key's queue, and wait until its owner has met it.

    Raises InvalidEvent for one that would do nothing, or be quarantined; it is not sent.
    """
    session = connect()
    at = place_of(place)
    kept, key = first_at(at, _found(session, at))
    value = answer_of(session.app, session.codec, kept, answer) if what == "answer" else b""
    control = Control(what, key, at.offset, who or getpass.getuser(), why, value)  # type: ignore[arg-type]  # one of its commands
    send(session.clients, session.config.prefix, at.namespace, [control])
    _wait(session, kept)
    talk(what_followed(what, kept))
    return exits.OK


def retry_all(namespace: str, who: str | None) -> int:
    """Send a retry for each key of a namespace that is parked, and wait until its owners have met them."""
    session = connect()
    space = namespace_named(session.app, namespace).name
    queues = _queues(session, space)
    if not queues:
        talk(f"Nothing is parked in {space}.")
        return exits.OK
    name = who or getpass.getuser()
    commands = [Control("retry", key, queue[0].place.offset, name) for key, queue in queues.items()]
    send(session.clients, session.config.prefix, space, commands)
    again = _tried(session, space, queues)
    talk(f"{plural(len(queues), 'key')} of {space} tried again; {len(queues) - len(again):,} go on.")
    keys = {kept.header.key for kept in again}
    called = sum(is_called(queue) for key, queue in queues.items() if key not in keys)
    if called:
        talk(
            f"For {called:,} of these a gateway is called again; `retold parked list {space}` shows it if that fails too."
        )
    for kept in again[:SHOWN]:
        talk(f"{kept.place} was set aside again: {kept.header.reason}")
    if len(again) > SHOWN:
        talk(f"… and {len(again) - SHOWN:,} more; `retold parked list {space}` shows all.")
    return exits.NO if again else exits.OK


def _queues(session: Session, space: str) -> dict[str, list[SetAsideNow]]:
    """What is parked, by key, in order."""
    queues: dict[str, list[SetAsideNow]] = {}
    for kept in set_aside_now(session.clients, session.config.prefix, [space]):
        if kept.header.key is not None:
            queues.setdefault(kept.header.key, []).append(kept)
    return queues


def _tried(session: Session, space: str, before: Mapping[str, Sequence[SetAsideNow]]) -> list[SetAsideNow]:
    """What is parked of these keys when all were tried: each is free, or its first was set aside at another time."""
    known = {_at(kept) for queue in before.values() for kept in queue}
    deadline = time.monotonic() + WAIT + len(known) / TRIED_A_SECOND
    while time.monotonic() < deadline:
        firsts = [queue[0] for key, queue in _queues(session, space).items() if key in before]
        if not any(_at(first) in known for first in firsts):
            return firsts
        time.sleep(0.2)
    raise OutcomeTimeout(
        f"the commands for {plural(len(before), 'key')} of {space} were sent, and not all obeyed in time. They will be: is a "
        "worker running? `retold status` shows it"
    )


def _at(kept: SetAsideNow) -> tuple[Place, int]:
    return kept.place, kept.header.recorded


def quarantine(place: str, who: str | None, why: str) -> int:
    """Order the event that a partition waits at aside, and wait until its owner has done so."""
    session = connect()
    at = place_of(place)
    space = namespace_named(session.app, at.namespace).name
    waiting = _waiting(session, session.namespaces)
    if at not in waiting:
        waits = (
            f"what waits is {', '.join(map(str, waiting))}"
            if waiting
            else "none waits now, as far as the application that is here can tell"
        )
        raise InvalidEvent(
            f"no partition waits at {at}, and only where one does is there something to quarantine: {waits}"
        )
    order = Control("quarantine", "", at.offset, who or getpass.getuser(), why)
    send(session.clients, session.config.prefix, space, [order], at.partition)
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        waits_still = at in _waiting(session, [space])  # asked first: what waits no more is settled by the second look
        if any(kept.place == at for kept in set_aside_now(session.clients, session.config.prefix, [space])):
            talk(f"{at} is quarantined; the partition goes on.")
            return exits.OK
        if not waits_still:
            raise InvalidEvent(
                f"{at} was not quarantined: it waits no more, because its schema and its handler are known now"
            )
        time.sleep(0.2)
    raise OutcomeTimeout(
        f"the order for {at} was sent, and not obeyed in {WAIT:.0f} s. It will be by the worker that owns the partition, also "
        "by one that starts later: is one running? `retold status` shows it"
    )


def _waiting(session: Session, spaces: Sequence[str]) -> dict[Place, str]:
    """The events that partitions wait at, each with a sentence about it."""
    found, now = status(session.clients, session.config.prefix, spaces, session.codec).namespaces, datetime.now(UTC)
    return {
        Place(space.name, waits.partition, waits.offset): waits_text(space, waits, now)
        for space in found
        for waits in space.waiting
    }


def _wait(session: Session, kept: SetAsideNow) -> None:
    """Until it is set aside no more, or was set aside anew."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        now = {it.place: it for it in set_aside_now(session.clients, session.config.prefix, [kept.place.namespace])}
        if kept.place not in now:
            return
        if now[kept.place].header.recorded != kept.header.recorded:
            raise EventSetAside(f"{kept.place} was tried, and set aside again: {now[kept.place].header.reason}")
        time.sleep(0.2)
    raise OutcomeTimeout(
        f"the command for {kept.place} was sent, and not obeyed in {WAIT:.0f} s. It will be: is a worker running? "
        "`retold status` shows it"
    )


def _found(session: Session, place: Place) -> list[SetAsideNow]:
    """All that is set aside in the place's namespace, in order."""
    space = namespace_named(session.app, place.namespace).name
    return set_aside_now(session.clients, session.config.prefix, [space])


def _name(session: Session, kept: SetAsideNow) -> str | None:
    try:
        return session.codec.decode(kept.value).event_type
    except StreamsError:
        return None


def _value(session: Session, kept: SetAsideNow) -> dict[str, object]:
    header = kept.header
    try:
        data: object = plain(session.codec.decode(kept.value))
    except StreamsError:
        data = None
    return {
        "place": str(kept.place),
        "status": header.status,
        "key": header.key,
        "event": _name(session, kept),
        "why": header.reason,
        "since": from_micros(header.recorded).isoformat(),
        "data": data,
        "bytes": len(kept.value) if header.status == QUARANTINED else None,
        "detail": header.detail or None,
    }
