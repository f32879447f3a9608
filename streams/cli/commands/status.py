"""`retold status`: the state of every namespace, read from Kafka alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import to_builtins

from streams.cli.arguments.options import Json
from streams.cli.output.attention import attention, calls_to_see_to, correcting, import_clocks, other_generation
from streams.cli.output.screen import console, json_line, read_or_not, say, say_lines, table, talk
from streams.cli.process import exit_codes
from streams.cli.process.session import Session, connect
from streams.engine.readable import named
from streams.engine.times import to_micros
from streams.kafka.alarms import Check as Finding
from streams.kafka.alarms import checks, generations_of, seconds_since, worst
from streams.kafka.correction_calls_topic import read_calls
from streams.kafka.corrections_topic import read_corrections
from streams.kafka.deleted_records import accepted_starts
from streams.kafka.lost_corrections import BRING_BACK, lost_corrections
from streams.kafka.open_transactions import sentence
from streams.kafka.status import CopyStatus, Status
from streams.kafka.status import status as read

COUNTED = ("accepted", "rejected", "duplicates", "emitted")


Check = Annotated[
    bool, typer.Option("--check", help="Report only what needs an operator; exit code 1 if something is bad.")
]


def status(as_json: Json = False, check: Check = False) -> None:
    """Show lag, owners, states and counters of every namespace, and what is blocked.

    Example: [bold]retold status[/]
    """
    session = connect()
    accepted = accepted_starts(session.config.accepted_starts)
    found = read(session.clients, session.config.prefix, session.namespaces, session.codec, accepted=accepted)
    if check:
        with read_or_not():
            code = _check(session, found, as_json)
        raise typer.Exit(code)
    if as_json:
        json_line(as_json_value(found))
        return
    talk(f"{session.app.name} on {found.broker}{f', prefix {found.prefix}' if found.prefix else ''}")
    _show_namespaces(found)
    if not console().is_terminal:
        say("")  # between two tables; to a terminal they have room around them
    _show_partitions(found, session.app.name)
    for text in _sentences(session, found):
        say_lines(text)
    for each in found.open_transactions:
        say(sentence(each, found.broker, found.prefix))


def _sentences(session: Session, found: Status) -> Iterator[str]:
    """What is unusual."""
    now = datetime.now(UTC)
    for space in found.namespaces:
        yield from attention(space, now)
    for space in found.namespaces:
        yield from other_generation(session.app.namespace(space.name), space.generations)
    for problem in found.wrong_settings:
        yield f"{problem[0].upper()}{problem[1:]}."
    yield from import_clocks(found.namespaces)
    clients, prefix, name = session.clients, session.config.prefix, session.app.name
    begun = read_corrections(clients, prefix, name)
    if lost := lost_corrections(prefix, found.namespaces, begun):
        yield f"{lost}. {BRING_BACK}."
    yield from correcting(begun)
    yield from calls_to_see_to(read_calls(clients, prefix, name).values())


def _check(session: Session, found: Status, as_json: bool) -> int:
    """The exit code. What only warns is reported and is no failure."""
    here, prefix = generations_of(session.app), session.config.prefix
    problems = [each for each in checks(found, to_micros(datetime.now(UTC)), here=here) if each.state != "good"]
    if lost := lost_corrections(prefix, found.namespaces, read_corrections(session.clients, prefix, session.app.name)):
        problems.append(Finding("corrections", "bad", f"{lost}.", f"{BRING_BACK}."))
    for each in problems:
        if as_json:
            json_line(asdict(each))
        else:
            say(f"{each.state} {each.name}: {each.detail} {each.do}")
    return exit_codes.NO if worst(problems) == "bad" else exit_codes.OK


def as_json_value(found: Status) -> dict[str, object]:
    spaces = [
        {**asdict(space), "lag": space.lag, "imports": {name: to_builtins(clock) for name, clock in space.imports.items()}}
        for space in found.namespaces
    ]
    held = [asdict(each) for each in found.open_transactions]
    return {
        "broker": found.broker, "prefix": found.prefix, "namespaces": spaces, "open_transactions": held,
        "wrong_settings": [*found.wrong_settings],
    }  # fmt: skip


def _show_namespaces(found: Status) -> None:
    heads = ("namespace", "lag", *COUNTED, "parked", "quarantined")
    rows = [
        (space.name, space.lag, *(getattr(space.counters, name) for name in COUNTED), space.parked, space.quarantined)
        for space in found.namespaces
    ]
    table(heads, rows, right=heads[1:])


def _show_partitions(found: Status, app: str) -> None:
    heads = ("partition", "state", "handled to", "inbox end", "lag", "oldest", "log", "owner")
    copied = any(part.copies for space in found.namespaces for part in space.partitions)
    now = to_micros(datetime.now(UTC))
    rows = [
        (
            f"{space.name}-{part.partition}",
            part.state,
            part.position,
            part.inbox_end,
            part.lag,
            None if part.oldest is None else f"{seconds_since(part.oldest, now):,.0f} s",
            part.sequence,
            _owner(part.owner, app),
            *([", ".join(_copy(it, app) for it in part.copies) or "none"] if copied else []),
        )
        for space in found.namespaces
        for part in space.partitions
    ]
    table((*heads, "copies") if copied else heads, rows, right=heads[2:7])


def _copy(it: CopyStatus, app: str) -> str:
    """Whose it is, and how far if it is not up to date."""
    return _owner(it.worker, app) + ("" if it.ready else f" {100 * it.done // max(1, it.total)} %")


def _owner(client_id: str | None, app: str) -> str:
    """Instance and slot: the rest of a client id is in the row already."""
    return "none" if client_id is None else named(client_id).rpartition(f"retold.{app}.")[2].partition(".")[2]
