"""`retold status`: how every namespace is doing, read from Kafka alone."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from streams.cli import exits
from streams.cli.connect import connect
from streams.cli.screen import console, json_line, plural, say, table, talk
from streams.cli.states import blocked_since, sentences
from streams.engine.readable import named
from streams.kafka.open_transactions import sentence
from streams.kafka.parked import Place
from streams.kafka.status import NamespaceStatus, Status, Waits
from streams.kafka.status import status as read

COUNTED = ("accepted", "rejected", "duplicates", "emitted")


def status(as_json: bool) -> int:
    session = connect()
    found = read(session.clients, session.config.prefix, session.namespaces, session.codec)
    if as_json:
        json_line(as_json_value(found))
        return exits.OK
    talk(f"{session.app.name} on {found.broker}{f', prefix {found.prefix}' if found.prefix else ''}")
    _show_namespaces(found)
    if not console().is_terminal:
        say("")  # between two tables; to a terminal they have room around them
    _show_partitions(found, session.app.name)
    now = datetime.now(UTC)
    for space in found.namespaces:
        tell(space, now)
    for each in found.open_transactions:
        say(sentence(each, found.broker, found.prefix))
    return exits.OK


def as_json_value(found: Status) -> dict[str, object]:
    spaces = [{**asdict(space), "lag": space.lag} for space in found.namespaces]
    held = [asdict(each) for each in found.open_transactions]
    return {"broker": found.broker, "prefix": found.prefix, "namespaces": spaces, "open_transactions": held}


def _show_namespaces(found: Status) -> None:
    heads = ("namespace", "lag", *COUNTED, "parked", "quarantined")
    rows = [
        (space.name, space.lag, *(getattr(space.counters, name) for name in COUNTED), space.parked, space.quarantined)
        for space in found.namespaces
    ]
    table(heads, rows, right=heads[1:])


def _show_partitions(found: Status, app: str) -> None:
    heads = ("partition", "state", "handled to", "inbox end", "lag", "log", "owner")
    rows = [
        (
            f"{space.name}-{part.partition}",
            part.state,
            part.position,
            part.inbox_end,
            part.lag,
            part.sequence,
            _owner(part.owner, app),
        )
        for space in found.namespaces
        for part in space.partitions
    ]
    table(heads, rows, right=heads[2:6])


def _owner(client_id: str | None, app: str) -> str:
    """Instance and slot: the rest of a client id says what the row says already."""
    return "nobody" if client_id is None else named(client_id).rpartition(f"retold.{app}.")[2].partition(".")[2]


def tell(space: NamespaceStatus, now: datetime) -> None:
    """What a person should look at."""
    if not space.partitions:
        say(f"{space.name} has no topics yet: start a worker, or make them with `retold topics --create`.")
    elif any(part.owner is None for part in space.partitions):
        wait = "1 event waits" if space.lag == 1 else f"{space.lag:,} events wait"
        lag = f", and {wait}" if space.lag else ""
        say(f"Nobody handles all of {space.name}{lag}: start a worker with `retold worker {space.name}`.")
    if space.counters.derived_rejected:
        rejected = plural(space.counters.derived_rejected, "rejected event")
        say(f"{rejected} of {space.name} had a cause; nobody else heard of it.")
    if space.parked or space.quarantined:
        say(_aside_text(space))
    if space.calls or space.timers:
        say(f"Pending in {space.name}: {plural(space.calls, 'call')} of gateways, {plural(space.timers, 'timer')}.")
    if space.producers_replaced:
        say(
            f"Workers of {space.name} replaced their Kafka producer {plural(space.producers_replaced, 'time')} since they "
            "started, because the end of a transaction was disturbed or the broker did not answer. Nothing is lost by it; if "
            "the number grows, look at the network and the broker."
        )
    for text in sentences(space, now):
        say(text)
    for waits in space.waiting:
        say(waits_text(space, waits, now))


def _aside_text(space: NamespaceStatus) -> str:
    """Of what is set aside, how many are which; a kind of which there is none is not named."""
    kinds = [(space.parked, "parked"), (space.quarantined, "quarantined")]
    (count, kind), *more = [(count, kind) for count, kind in kinds if count]
    be = "is" if count == 1 else "are"
    also = "".join(f", and {count:,} {'is' if count == 1 else 'are'} {kind}" for count, kind in more)
    return f"{plural(count, 'event')} of {space.name} {be} {kind}{also}: `retold parked list {space.name}`."


def waits_text(space: NamespaceStatus, waits: Waits, now: datetime) -> str:
    """Also since when, if its worker says that it is blocked."""
    place = Place(space.name, waits.partition, waits.offset)
    since = blocked_since(space, waits.partition, now)
    return (
        f"{waits.topic}-{waits.partition} waits at offset {waits.offset}{since}, schema {waits.schema_id}: {waits.reason}. If "
        f"that will never be, set the event aside: `retold parked quarantine {place} --why …`"
    )
