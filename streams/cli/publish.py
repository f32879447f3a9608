"""`retold publish`: one event from the command line. A file of them is `streams.cli.publish_file`'s."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import typer

from streams.app import App
from streams.cli import exits, logs
from streams.cli.names import event_class
from streams.cli.publish_file import SOURCE, Rows, publish_file
from streams.cli.screen import json_line, say
from streams.client import Client
from streams.config import Config, load
from streams.data import EventData
from streams.load import application
from streams.receipt import Receipt, Settled
from streams.sources.convert import Converter
from streams.sources.texts import plain

LINE_SHOWN = 4_000
"""Characters: a key and an id, of 1,024 bytes each at most, are shown whole."""


@dataclass(frozen=True)
class One:
    """Options for one event."""

    id: str | None = None
    time: str | None = None
    expected_version: int | None = None
    wait: float | None = None

    @property
    def given(self) -> str | None:
        """The name of an option that has no meaning for a file."""
        named = {"--id": self.id, "--time": self.time, "--expected-version": self.expected_version, "--wait": self.wait}
        return next((name for name, value in named.items() if value is not None), None)


def publish(
    event_type: str | None, values: Sequence[str], file: str | None, one: One, rows: Rows, as_json: bool
) -> int:
    """Gives the exit code."""
    config = load()
    logs.set_up(config)
    app = application(config)
    data = None if event_type is None else event_class(app, event_type)
    if file is not None:
        if values or one.given is not None:
            raise typer.BadParameter(f"{one.given or plain(values[0])} belongs to a single event, and --from names many.")
        return publish_file(config, app, data, file, rows, as_json)
    if rows.given is not None:
        raise typer.BadParameter(f"{rows.given} belongs to a file: name it with --from.")
    if data is None:
        raise typer.BadParameter(f"an event's name is missing: one of {', '.join(sorted(app.event_types()))}.")
    event = Converter(data, texts=True, noun="field")(pairs(values))
    return _publish(config, app, event, one, as_json)


def pairs(values: Sequence[str]) -> dict[str, str]:
    """`name=value` by name."""
    found: dict[str, str] = {}
    for pair in values:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is no field; name=value was expected.")
        if name in found:
            raise typer.BadParameter(f"the field {name!r} is given twice.")
        found[name] = value
    return found


def _publish(config: Config, app: App, event: EventData, one: One, as_json: bool) -> int:
    time = None if one.time is None else moment(one.time)
    with Client(app, config=config, source=SOURCE) as client:
        receipt = client.publish(event, id=one.id, time=time, expected_version=one.expected_version)
        client.flush()
        settled = None if one.wait is None else client.wait(receipt, one.wait)
    if as_json:
        json_line(_as_json(receipt, settled))
    elif settled is None:
        say(plain(f"{receipt.what} is published as {receipt.place}, id {receipt.id}", LINE_SHOWN))
    elif settled.outcome == "accepted":
        again = ", as the first event of this id was before" if settled.duplicate else ""
        told = f"{receipt.what} was accepted{again}: its row is at version {settled.sequence}, id {receipt.id}"
        say(plain(told, LINE_SHOWN))
    else:
        settled.raise_for_outcome()
    return exits.OK if settled is None or settled.outcome == "accepted" else exits.NO


def moment(text: str) -> datetime:
    time: datetime | None = None
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
    if time is None or time.tzinfo is None:
        raise typer.BadParameter(f"--time is {text!r}; a time with a zone was expected, such as 2026-01-31T12:00:00Z.")
    return time


def _as_json(receipt: Receipt, settled: Settled | None) -> dict[str, object]:
    known: dict[str, object] = {
        "type": receipt.event_type,
        "key": receipt.key,
        "id": receipt.id,
        "partition": receipt.partition,
        "offset": receipt.offset,
    }
    if settled is not None:
        for name in ("outcome", "reason", "duplicate", "sequence", "recorded"):
            known[name] = getattr(settled, name)
    return known
