"""`retold tail`: the event log as a person reads it, or as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import typer

from streams.app import App
from streams.cli import exits
from streams.cli.connect import connect
from streams.cli.names import event_class, namespace_named
from streams.cli.screen import cell_text, console, json_line, say, talk
from streams.data import namespace_of
from streams.kafka.follow import Tail
from streams.kafka.messages import LogEvent
from streams.kafka.steps import never


def tail(what: Sequence[str], from_beginning: bool, last: int | None, as_json: bool) -> int:
    """Follows until Ctrl-C, or ends after `last`."""
    if from_beginning and last is not None:
        raise typer.BadParameter("--from-beginning and --last exclude each other.")
    session = connect()
    namespaces, types = chosen(session.app, what)
    log = Tail(session.clients, session.config.prefix, namespaces, session.codec, types=types)
    if last is None and not from_beginning:
        talk(f"Following {', '.join(types or namespaces)}; Ctrl-C ends it.")
    for event in _events(log, from_beginning, last):
        if as_json:
            json_line(as_json_value(event))
        else:
            say(line_of(event, console().width))
    return exits.OK


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
    return chain(past, log.follow(never))


def line_of(event: LogEvent, width: int) -> str:
    """When it was handled, where it is, what it is, and what became of it; cut to `width`."""
    data = event.event.data
    fields = [
        f"{name}={cell_text(getattr(data, name))}"
        for name in data.__struct_fields__
        if name != type(data).key_field and getattr(data, name) is not None
    ]
    outcome = "" if event.outcome == "accepted" else f" {event.outcome.upper()}: {event.reason}"
    time = event.recorded.strftime("%H:%M:%S")
    place = f"{event.namespace}-{event.partition}@{event.sequence}"
    line = f"{time} {place:<12} {data.event_type} {data.key}{outcome} {' '.join(fields)}".rstrip()
    return line if len(line) <= width else f"{line[: width - 1]}…"


def as_json_value(event: LogEvent) -> dict[str, object]:
    inner = event.event
    return {
        "namespace": event.namespace,
        "partition": event.partition,
        "sequence": event.sequence,
        "recorded": event.recorded,
        "outcome": event.outcome,
        "reason": event.reason,
        "type": inner.data.event_type,
        "key": inner.key,
        "id": inner.id,
        "time": inner.time,
        "cause": inner.cause,
        "correlation": inner.correlation,
        "data": inner.data,
    }
