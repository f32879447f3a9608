"""`retold tail`: the event log in lines for operators, or as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated

import typer

from streams.app import App
from streams.cli.arguments.lookup import event_class, namespace_named
from streams.cli.arguments.options import Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.screen import EMPTY_KEY, cell_text, console, json_line, say, talk
from streams.cli.process.session import connect
from streams.data import namespace_of
from streams.engine.readable import one_line, shortened
from streams.engine.step import CorrectionStep
from streams.history.recorded_event import position_name
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.messages import LogEvent
from streams.kafka.tables_and_logs import Tail


def tail(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Event types (user.signup) or namespaces (user); default: all.", metavar="TYPE|NAMESPACE"),
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the first event of the log.")
    ] = False,
    last: Annotated[
        int | None, typer.Option("--last", parser=whole(1), help="Show the last N events and exit.", metavar="N")
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow the event log: show events as they are handled.

    It runs until Ctrl-C. Each line has the event's log sequence: [bold]user-3:7[/] is partition 3 of the event log
    user, sequence 7. A row's version is the sequence of the event that last changed it.

    An inbox offset is written [bold]user-3@1042[/]: partition 3 of the inbox user, Kafka offset 1042. It is where an event
    waits to be handled, or was set aside; see retold publish and retold parked.

    Example: [bold]retold tail user.signup --last 5[/]
    """
    if from_beginning and last is not None:
        raise typer.BadParameter("--from-beginning and --last exclude each other.")
    session = connect()
    namespaces, types = chosen(session.app, what or [])
    log = Tail(session.clients, session.config.prefix, namespaces, session.codec, types=types)
    if last is None and not from_beginning:
        talk(f"Following {', '.join(types or namespaces)}. Press Ctrl-C to stop.")
    for event in _events(log, from_beginning, last):
        if as_json:
            json_line(event.members())
        else:
            say(line_of(event, console().width if console().is_terminal else None))


def chosen(app: App, what: Sequence[str]) -> tuple[list[str], list[str]]:
    """The namespaces to read, and the events to show (none: all of them)."""
    if not what:
        return [each.name for each in app.namespaces], []
    whole = [namespace_named(app, name).name for name in what if "." not in name]
    types = [event_class(app, name).event_type for name in what if "." in name]
    if types:  # beside single events, a whole namespace is all of its events
        types += [name for name in app.event_types() if namespace_of(name) in whole]
    return sorted({*whole, *map(namespace_of, types)}), sorted(set(types))


def _events(log: Tail, from_beginning: bool, last: int | None) -> Iterable[LogEvent]:
    if last is not None:
        return log.last(last)
    past: Iterator[LogEvent] = log.beginning() if from_beginning else iter(())
    return chain(past, log.follow(never_cancelled))


def _why(event: LogEvent) -> str | None:
    data = event.event.data
    return f"{data.why} ({data.who})" if isinstance(data, CorrectionStep) else event.reason


def line_of(event: LogEvent, width: int | None = None) -> str:
    """When it was handled, where it is, what it is, and what became of it; cut to `width` on a terminal."""
    data = event.event.data
    fields = [
        f"{name}={cell_text(getattr(data, name))}"
        for name in data.__struct_fields__
        if name != type(data).key_field and getattr(data, name) is not None
    ]
    if isinstance(data, CorrectionStep):
        fields = [f"version={data.expected}->{event.sequence} correction={data.correction}"]
    outcome = "" if event.outcome == "accepted" else f" {event.outcome.upper()}: {_why(event)}"
    time = event.recorded.strftime("%H:%M:%S")
    position = position_name(event.namespace, event.partition, event.sequence)
    line = one_line(f"{time} {position:<12} {data.event_type} {data.key or EMPTY_KEY}{outcome} {' '.join(fields)}".rstrip())
    return line if width is None else shortened(line, width)
