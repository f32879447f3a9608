"""`retold parked`: lists what is set aside, and sends what an operator decides about it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import Json
from streams.cli.commands.parked_commands import blocking_events, command, found_at, quarantine_blocking, retry_all
from streams.cli.commands.parked_decisions import what_next
from streams.cli.commands.parked_rehearsal import rehearse_retry
from streams.cli.output.help import Command, Group
from streams.cli.output.screen import EMPTY_KEY, cell_text, json_line, plain, say, say_lines, table, talk
from streams.cli.process.session import Session, connect
from streams.engine.readable import shortened
from streams.engine.records import QUARANTINED
from streams.engine.times import from_micros
from streams.errors import StreamsError
from streams.kafka.parked import ParkedEntry, parse_inbox_offset, read_parked, with_bodies
from streams.kafka.parked_checks import one_at

REASON_SHOWN = 120
"""Characters."""

parked = typer.Typer(
    name="parked",
    cls=Group,
    help="List events that are set aside; retry, reject, answer or quarantine them.",
    no_args_is_help=True,
    add_completion=False,
)
InboxOffset = Annotated[str, typer.Argument(help="Inbox offset of the event, such as user-3@1042.", metavar="INBOX-OFFSET")]
Who = Annotated[str | None, typer.Option("--who", help="Name of the operator; default: your login.", metavar="NAME")]
Why = Annotated[str, typer.Option("--why", help="Reason, which is kept in the event log.", metavar="TEXT")]


@parked.command("list", cls=Command)
def list_(
    namespace: Annotated[
        str | None, typer.Argument(help="Namespace to list; default: all.", metavar="NAMESPACE")
    ] = None,
    as_json: Json = False,
) -> None:
    """List parked, unanswered and quarantined events, with reasons.

    Example: [bold]retold parked list user[/]
    """
    session = connect()
    spaces = [namespace_named(session.app, namespace).name] if namespace else session.namespaces
    found = read_parked(session.clients, session.config.prefix, spaces, bodies=(), type_of=partial(_event_type, session))
    if as_json:
        for event in with_bodies(session.clients, session.config.prefix, found):
            json_line(_as_json(session, event))
        return
    for text in blocking_events(session, spaces).values():
        talk(text)
    if not found:
        talk("No events are set aside.")
        return
    rows = [
        (str(it.inbox_offset), it.header.status, _key(it), it.event_type, shortened(it.header.reason, REASON_SHOWN))
        for it in found
    ]
    table(("offset", "status", "key", "event", "why"), rows)
    talk(what_next(found))


@parked.command(cls=Command)
def show(inbox_offset: InboxOffset, as_json: Json = False) -> None:
    """Show one event: its data, since when it is set aside, and the traceback.

    Example: [bold]retold parked show user-3@1042[/]
    """
    session = connect()
    at = parse_inbox_offset(inbox_offset)
    event = one_at(at, found_at(session, at))
    if as_json:
        json_line(_as_json(session, event))
        return
    for name, value in _as_json(session, event).items():
        if name != "detail" and value is not None:
            say(f"{name:10} {cell_text(value)}")
    if event.header.detail:
        say("")
        say_lines(event.header.detail.rstrip())


@parked.command(cls=Command)
def retry(
    inbox_offset: Annotated[
        str | None, typer.Argument(help="Inbox offset of the event, such as user-3@1042.", metavar="INBOX-OFFSET")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--all", help="Retry all parked keys of this namespace.", metavar="NAMESPACE")
    ] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Only tell what the retry would do with the code of this folder.")
    ] = False,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Handle the parked events of a key again, in order; or those of all keys.

    Use it once the handler is fixed, or the gateway's service works again. INBOX-OFFSET is that of the first event of its key.
    With [bold]--rehearse[/] nothing is written: it tells which events would be handled and how, the row, and what would be emitted.

    Example: [bold]retold parked retry user-3@1042 --rehearse[/]
    """
    if rehearse and inbox_offset is not None and not every:
        raise typer.Exit(rehearse_retry(inbox_offset, who, as_json=as_json))
    if rehearse or as_json:
        raise typer.BadParameter(
            "--rehearse is for one key, and --json for a rehearsal: an inbox offset such as user-3@1042 was expected."
        )
    if every and inbox_offset is None:
        raise typer.Exit(retry_all(every, who))
    if every or inbox_offset is None:
        raise typer.BadParameter("an inbox offset such as user-3@1042, or --all and a namespace's name, was expected.")
    command("retry", inbox_offset, who)


@parked.command(cls=Command)
def reject(inbox_offset: InboxOffset, why: Why, who: Who = None) -> None:
    """Reject the first parked event of a key, and handle the rest.

    Example: [bold]retold parked reject user-3@1042 --why "a typo"[/]
    """
    command("reject", inbox_offset, who, why)


@parked.command(cls=Command)
def answer(
    inbox_offset: InboxOffset,
    event: Annotated[
        list[str],
        typer.Argument(help="The answer: an event type, then the event's fields.", metavar="TYPE NAME=VALUE…"),
    ],
    who: Who = None,
    why: Why = "",
) -> None:
    """Answer a request in place of a gateway that gave up.

    Example: [bold]retold parked answer email-0@7 email.sent email=u1/welcome to=u1@example.org receipt="by hand"[/]
    """
    command("answer", inbox_offset, who, why, event)


@parked.command(cls=Command)
def quarantine(
    inbox_offset: InboxOffset,
    why: Annotated[str, typer.Option("--why", help="Reason, which is kept with the event.", metavar="TEXT")],
    who: Who = None,
) -> None:
    """Set aside the event that blocks a partition, so that the partition goes on.

    Use it for an event whose schema or handler will never exist. Example: [bold]retold parked quarantine user-3@1042
    --why "a test"[/]
    """
    quarantine_blocking(inbox_offset, who, why)


def _key(event: ParkedEntry) -> str | None:
    """None for a quarantined event, which blocks no key."""
    return EMPTY_KEY if event.header.key == "" else event.header.key


def _event_type(session: Session, value: bytes) -> str | None:
    try:
        return session.codec.decode(value).event_type
    except StreamsError:
        return None


def _as_json(session: Session, event: ParkedEntry) -> dict[str, object]:
    header = event.header
    try:
        data: object = plain(session.codec.decode(event.value))
    except StreamsError:
        data = None
    return {
        "inbox_offset": str(event.inbox_offset),
        "status": header.status,
        "key": header.key,
        "event": _event_type(session, event.value),
        "why": header.reason,
        "since": from_micros(header.recorded),
        "time": event.time,
        "data": data,
        "bytes": len(event.value) if header.status == QUARANTINED else None,
        "detail": header.detail or None,
    }
