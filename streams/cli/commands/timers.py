"""`retold timers`: what is scheduled, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.screen import json_line, plural, second_text, table, talk
from streams.cli.process.session import connect
from streams.engine.times import from_micros, to_micros
from streams.kafka.due_topics import read_timers

SHOWN = 50


def timers(
    namespace: Annotated[
        str | None, typer.Argument(help="Namespace whose events scheduled them; default: all.", metavar="NAMESPACE")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", parser=whole(1), help=f"Show the first N; default: {SHOWN}, with --json all.", metavar="N"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what is scheduled, and when it is due.

    Example: [bold]retold timers order[/]
    """
    session = connect()
    spaces = [namespace_named(session.app, namespace).name] if namespace else session.namespaces
    found = read_timers(session.clients, session.config.prefix, spaces)
    shown = list(islice(found, limit if as_json else limit or SHOWN))
    if as_json:
        for timer in shown:
            members = timer._asdict()
            json_line({"due": from_micros(members.pop("at")), **members})
        return
    if not found:
        talk("No timer is pending.")
        return
    rows = [(second_text(from_micros(it.at)), it.event_type, it.key, it.owner, f"{it.namespace}-{it.partition}") for it in shown]
    table(("due", "event", "key", "scheduled by", "partition"), rows)
    more = f"; the first {len(shown):,} are shown, --limit shows more" if len(shown) < len(found) else ""
    due = sum(it.at <= to_micros(datetime.now(UTC)) for it in found)
    talk(f"{plural(len(found), 'timer')}, {due:,} of them due{more}.")
    if due:
        talk(
            "What is due fires before the next later event of its key, or once its inbox is read to its end; that of a parked key "
            "waits, and so does an import's. See `retold status`."
        )
