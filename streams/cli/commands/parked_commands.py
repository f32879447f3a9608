"""Sends an operator's command about events that are set aside, and waits until the partition's worker has handled it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar

from streams.cli.arguments.lookup import namespace_named
from streams.cli.commands.parked_decisions import (
    all_retried,
    answer_of,
    has_its_turn,
    is_called,
    still_aside,
    what_followed,
)
from streams.cli.output.attention import blocked_at
from streams.cli.output.screen import plural, talk
from streams.cli.process import exit_codes
from streams.cli.process.operator_name import operator_name
from streams.cli.process.session import Session, connect
from streams.engine.control import OperatorCommand
from streams.engine.records import PARKED
from streams.errors import EventSetAside, InvalidEvent, OutcomeTimeout
from streams.kafka.blocked import Blocked, blocked_partitions
from streams.kafka.outcomes import OutcomeReader
from streams.kafka.parked import InboxOffset, ParkedEntry, parse_inbox_offset, read_parked
from streams.kafka.parked import send_commands as send
from streams.kafka.parked_checks import first_at, why_unchanged
from streams.kafka.status import NamespaceStatus, status
from streams.receipt import EventOutcome, Receipt

T = TypeVar("T")
WAIT, RETRIED_PER_SECOND = 10.0, 100.0
"""s for one command, and how many more events are retried in each further s."""
FOR_AN_OUTCOME = 3.0
"""s to find in the log what became of an event that was handled."""
SHOWN = 10
EVERY, LOOK = 0.2, 1.0
"""s between two looks, and between two that ask how far a worker is."""


def command(
    what: Literal["retry", "reject", "answer"], inbox_offset: str, who: str | None, why: str = "", answer: Sequence[str] = ()
) -> None:
    """About the first event of a key's queue.

    Raises InvalidEvent for one that would do nothing, or be quarantined; it is not sent. Raises EventSetAside if the event
    is set aside again, and OutcomeTimeout.
    """
    session = connect()
    at = parse_inbox_offset(inbox_offset)
    before = found_at(session, at)
    event, key = first_at(at, before)
    value = answer_of(session.app, session.codec, event, answer) if what == "answer" else b""
    control = OperatorCommand(what, key, at.offset, operator_name(who), why, value, at.timer)

    def now_parked() -> dict[InboxOffset, ParkedEntry]:
        found = read_parked(session.clients, session.config.prefix, [at.namespace], bodies=())
        return {it.inbox_offset: it for it in found if it.header.key == key}

    def is_handled() -> bool | None:
        is_seen = has_passed(place)  # asked first: what it has changed is there by then
        now = now_parked()
        if at not in now:
            return True
        if now[at].header.recorded != event.header.recorded:
            raise EventSetAside(f"{at} was tried, and set aside again: {now[at].header.reason}. {still_aside(at)}")
        if is_seen:
            raise InvalidEvent(why_unchanged(at, key, place, found_at(session, at)))
        return None

    with _followed(session, event) as outcome:
        [place] = send(session.clients, session.config.prefix, at.namespace, [control])
        has_passed = _passing(session)
        _until(
            is_handled, WAIT, f"the command for {at} was sent, but not handled within {WAIT:.0f} s; a worker handles it later"
        )
        became = outcome()
    left = _standing_still(lambda: [*now_parked().values()], WAIT)
    behind = sum(it.header.key == key and it.inbox_offset != at for it in before)
    said = what_followed(what, event, became, handled=max(behind - len(left), 0), left=left)
    talk(said)


def _passing(session: Session) -> Callable[[InboxOffset], bool]:
    """Says whether a worker has handled what is at a place of an inbox. It looks now and then, not each time that it is asked."""
    next_look = time.monotonic() + LOOK

    def has_passed(place: InboxOffset) -> bool:
        nonlocal next_look
        if time.monotonic() < next_look:
            return False
        [space] = status(session.clients, session.config.prefix, [place.namespace], session.codec).namespaces
        next_look = time.monotonic() + LOOK
        return any(it.partition == place.partition and it.position > place.offset for it in space.partitions)

    return has_passed


def _standing_still(look: Callable[[], list[ParkedEntry]], seconds: float) -> list[ParkedEntry]:
    """What is left of a queue once its worker does not go on with it, or has handled nothing of it for so many s."""
    left, deadline = look(), time.monotonic() + seconds
    while has_its_turn(left) and time.monotonic() < deadline:
        time.sleep(EVERY)
        if (now := look()) != left:
            left, deadline = now, time.monotonic() + seconds
    return left


@contextlib.contextmanager
def _followed(session: Session, event: ParkedEntry) -> Iterator[Callable[[], EventOutcome | None]]:
    """What the log says, once it is handled in this block, of an event that its handler had parked. None for others, and if unseen.

    That it was parked before is no answer: where it is looked for is told by offsets, since the clock here may be any.
    """
    at = event.inbox_offset
    if event.header.status != PARKED or at.timer:
        yield lambda: None
        return
    receipt = Receipt(at.namespace, "event", event.header.key or "", "")
    receipt.partition, receipt.offset = at.partition, at.offset
    with contextlib.closing(OutcomeReader(session.clients, session.config.prefix)) as reader:
        begin = reader.now(at.namespace, at.partition)

        def outcome() -> EventOutcome | None:
            try:
                return reader.wait(receipt, session.clients.clock.monotonic() + FOR_AN_OUTCOME, begin)
            except OutcomeTimeout:  # it is handled all the same
                return None

        yield outcome


def retry_all(namespace: str, who: str | None) -> int:
    """Retries each parked key of a namespace. Gives the exit code: 1 if an event was set aside again."""
    session = connect()
    space = namespace_named(session.app, namespace).name
    queues = _queues(session, space)
    if not queues:
        talk(f"No events are parked in {space}.")
        return exit_codes.OK
    name = operator_name(who)
    firsts = {key: queue[0].inbox_offset for key, queue in queues.items()}
    commands = [OperatorCommand("retry", key, first.offset, name, timer=first.timer) for key, first in firsts.items()]
    send(session.clients, session.config.prefix, space, commands)
    again = _retried(session, space, queues)
    talk(all_retried(space, len(queues), len(again)))
    keys = {event.header.key for event in again}
    called = sum(is_called(queue) for key, queue in queues.items() if key not in keys)
    if called:
        talk(f"For {called:,} of these the gateway is called again; if that fails, see `retold parked list {space}`.")
    for event in again[:SHOWN]:
        talk(f"{event.inbox_offset} was set aside again: {event.header.reason}")
    if len(again) > SHOWN:
        talk(f"… and {len(again) - SHOWN:,} more; see `retold parked list {space}`.")
    if again:
        talk(f"{still_aside(again[0].inbox_offset)}.")
    return exit_codes.NO if again else exit_codes.OK


def _queues(session: Session, space: str) -> dict[str, list[ParkedEntry]]:
    """What is parked, by key, in order."""
    queues: dict[str, list[ParkedEntry]] = {}
    for event in read_parked(session.clients, session.config.prefix, [space], bodies=()):
        if event.header.key is not None:
            queues.setdefault(event.header.key, []).append(event)
    return queues


def _retried(session: Session, space: str, before: Mapping[str, Sequence[ParkedEntry]]) -> list[ParkedEntry]:
    """What is parked once all keys were retried: each is free, or its first event was set aside at another time."""
    known = {_version(event) for queue in before.values() for event in queue}

    def first_events() -> list[ParkedEntry] | None:
        firsts = [queue[0] for key, queue in _queues(session, space).items() if key in before]
        return None if any(_version(first) in known for first in firsts) else firsts

    return _until(
        first_events,
        WAIT + len(known) / RETRIED_PER_SECOND,
        f"the commands for {plural(len(before), 'key')} of {space} were sent, but not all handled in time; a worker handles "
        "them later",
    )


def _version(event: ParkedEntry) -> tuple[InboxOffset, int]:
    return event.inbox_offset, event.header.recorded


def quarantine_blocking(inbox_offset: str, who: str | None, why: str) -> None:
    """Raises InvalidEvent if no partition is blocked there, or it was unblocked meanwhile; OutcomeTimeout."""
    session = connect()
    at = parse_inbox_offset(inbox_offset)
    space = namespace_named(session.app, at.namespace).name
    seen = status(session.clients, session.config.prefix, session.namespaces, session.codec).namespaces
    blocking = _blocking(seen)
    beside = [each for each in blocking if (each.namespace, each.partition) == (at.namespace, at.partition)]
    if not beside and (found := _blocked(seen, at)) is not None:
        raise InvalidEvent(f"{at} is not quarantined, since it can be handled: {found.why}. {found.do}")
    if at not in blocking:
        known = (
            f"partitions are blocked at {', '.join(map(str, blocking))}"
            if blocking
            else "no partition is blocked now, as far as the local application can tell"
        )
        raise InvalidEvent(f"no partition is blocked at {at}, so there is nothing to quarantine: {known}")
    order = OperatorCommand("quarantine", "", at.offset, operator_name(who), why)
    send(session.clients, session.config.prefix, space, [order], at.partition)

    def is_quarantined() -> bool | None:
        # Asked first: what blocks no more is settled by the second look.
        blocks = at in blocking_events(session, [space])
        if any(it.inbox_offset == at for it in read_parked(session.clients, session.config.prefix, [space], bodies=())):
            return True
        if not blocks:
            raise InvalidEvent(f"{at} was not quarantined: its schema and handler are known now, so it blocks no more")
        return None

    _until(
        is_quarantined,
        WAIT,
        f"the command for {at} was sent, but not handled within {WAIT:.0f} s; the partition's worker handles it later, also "
        "one that starts later",
    )
    talk(f"{at} is quarantined; the partition goes on.")


def blocking_events(session: Session, spaces: Sequence[str]) -> dict[InboxOffset, str]:
    """The events that block partitions, each with a sentence about it."""
    return _blocking(status(session.clients, session.config.prefix, spaces, session.codec).namespaces)


def _blocking(found: Sequence[NamespaceStatus]) -> dict[InboxOffset, str]:
    now = datetime.now(UTC)
    return {
        InboxOffset(space.name, waits.partition, waits.offset): blocked_at(space, waits, now)
        for space in found
        for waits in space.waiting
    }


def _blocked(found: Sequence[NamespaceStatus], at: InboxOffset) -> Blocked | None:
    """Why the partition is blocked, by whichever record."""
    parts = (it for space in found if space.name == at.namespace for it in blocked_partitions(space))
    return next((it for it in parts if it.partition == at.partition), None)


def found_at(session: Session, inbox_offset: InboxOffset) -> list[ParkedEntry]:
    """All that is set aside in the namespace of the inbox offset, in order; the body of that one alone."""
    space = namespace_named(session.app, inbox_offset.namespace).name
    return read_parked(session.clients, session.config.prefix, [space], bodies=[inbox_offset])


def _until(look: Callable[[], T | None], seconds: float, late: str) -> T:
    """What `look` gives once it is not None. Raises OutcomeTimeout with the sentence `late` after so many s."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(EVERY)
    raise OutcomeTimeout(f"{late}. Is a worker running, or just restarting? See `retold status`")
