"""`retold status`: the state of every namespace, read from Kafka alone."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from streams.cli.arguments.options import Json
from streams.cli.output.attention import attention
from streams.cli.output.screen import console, json_line, say, say_lines, table, talk
from streams.cli.process.session import connect
from streams.engine.readable import named
from streams.kafka.open_transactions import sentence
from streams.kafka.status import Status
from streams.kafka.status import status as read

COUNTED = ("accepted", "rejected", "duplicates", "emitted")


def status(as_json: Json = False) -> None:
    """Show lag, owners, states and counters of every namespace, and what is blocked.

    Example: [bold]retold status[/]
    """
    session = connect()
    found = read(session.clients, session.config.prefix, session.namespaces, session.codec)
    if as_json:
        json_line(as_json_value(found))
        return
    talk(f"{session.app.name} on {found.broker}{f', prefix {found.prefix}' if found.prefix else ''}")
    _show_namespaces(found)
    if not console().is_terminal:
        say("")  # between two tables; to a terminal they have room around them
    _show_partitions(found, session.app.name)
    now = datetime.now(UTC)
    for space in found.namespaces:
        for text in attention(space, now):
            say_lines(text)
    for each in found.open_transactions:
        say(sentence(each, found.broker, found.prefix))


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
    """Instance and slot: the rest of a client id is in the row already."""
    return "none" if client_id is None else named(client_id).rpartition(f"retold.{app}.")[2].partition(".")[2]
