"""`retold publish`: one event from the command line. `publish_file` publishes a file of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import typer

from streams.app import App
from streams.cli.arguments.fields import pairs
from streams.cli.arguments.lookup import event_class
from streams.cli.arguments.options import Json
from streams.cli.arguments.publish_options import (
    AsItHappenedOption,
    ExpectedVersionOption,
    FormatOption,
    FromOption,
    IdColumnOption,
    IdOption,
    LimitOption,
    OnErrorOption,
    ReleaseOption,
    StepOption,
    TimeColumnOption,
    TimeOption,
    TypeArgument,
    ValuesArgument,
    WaitOption,
    WithOption,
)
from streams.cli.commands.publish_file import SOURCE, FileOptions, publish_file
from streams.cli.output.screen import application_beside, json_line, say
from streams.cli.process import exit_codes, logging_setup
from streams.client import Client
from streams.config import Config, load
from streams.data import EventData
from streams.eventfiles.convert import Converter
from streams.eventfiles.texts import plain
from streams.load import application
from streams.receipt import PublishOutcome, Receipt

LINE_SHOWN = 4_000
"""Characters: a key and an id, of 1,024 bytes each at most, are shown whole."""


@dataclass(frozen=True)
class EventOptions:
    """Options for a single event."""

    id: str | None = None
    time: datetime | None = None
    expected_version: int | None = None
    wait: float | None = None

    @property
    def given(self) -> str | None:
        """The name of an option that has no meaning for a file."""
        named = {"--id": self.id, "--time": self.time, "--expected-version": self.expected_version, "--wait": self.wait}
        return next((name for name, value in named.items() if value is not None), None)


def publish(  # noqa: PLR0913 - one parameter an option
    event_type: TypeArgument = None,
    values: ValuesArgument = None,
    file: FromOption = None,
    file_format: FormatOption = None,
    with_function: WithOption = None,
    on_error: OnErrorOption = "stop",
    limit: LimitOption = None,
    id_column: IdColumnOption = None,
    time_column: TimeColumnOption = None,
    as_it_happened: AsItHappenedOption = False,
    step: StepOption = None,
    release: ReleaseOption = None,
    event_id: IdOption = None,
    time: TimeOption = None,
    expected_version: ExpectedVersionOption = None,
    wait: WaitOption = None,
    as_json: Json = False,
) -> None:
    """Publish one event, or a file of events.

    Equal rows of a file are separate events, each with an id of its own. Publishing the file again changes nothing.
    A file of past events brings its own clock, by which its timers fire.

    Example: [bold]retold publish user.signup user=u1 email=u1@example.org --wait 5[/]

    Example: [bold]retold publish user.signup --from signups.tsv --with processors.publish:from_row[/]
    """
    if release is not None:
        if event_type is not None or file is not None:
            raise typer.BadParameter("--release ends an import, and publishes nothing.")
        raise typer.Exit(_release(release))
    config = load()
    logging_setup.set_up(config)
    with application_beside():
        app = application(config)
    data = None if event_type is None else event_class(app, event_type)
    event_options = EventOptions(event_id, time, expected_version, wait)
    file_options = FileOptions(file_format, with_function, on_error, limit, id_column, time_column, as_it_happened, step)
    if file is None:
        event = _event(app, data, values or [], file_options)
        raise typer.Exit(_publish_event(config, app, event, event_options, as_json))
    if values or event_options.given is not None:
        given = event_options.given or plain((values or [""])[0])
        raise typer.BadParameter(f"{given} is for a single event, and --from publishes a file.")
    raise typer.Exit(publish_file(config, app, data, file, file_options, as_json))


def _release(name: str) -> int:
    # It reads the status, and whoever publishes need not wait until all of that is imported.
    from streams.cli.commands import publish_release

    return publish_release.release(name)


def _event(app: App, data: type[EventData] | None, values: list[str], options: FileOptions) -> EventData:
    """A single event."""
    if options.given is not None:
        raise typer.BadParameter(f"{options.given} is for a file: name it with --from.")
    if data is None:
        raise typer.BadParameter(f"the event type is missing: one of {', '.join(sorted(app.event_types()))}.")
    return Converter(data, texts=True, noun="field")(pairs(values))


def _publish_event(config: Config, app: App, event: EventData, options: EventOptions, as_json: bool) -> int:
    """Gives the exit code: 1 if the event was not accepted."""
    with Client(app, config=config, source=SOURCE) as client:
        receipt = client.publish(event, id=options.id, time=options.time, expected_version=options.expected_version)
        client.flush()
        settled = None if options.wait is None else client.wait(receipt, options.wait)
    if as_json:
        json_line(_as_json(receipt, settled))
    elif settled is None:
        say(plain(f"{receipt.what} was published as {receipt.inbox_offset}, id {receipt.id}", LINE_SHOWN))
    elif settled.outcome == "accepted":
        say(plain(accepted_sentence(app, event, settled), LINE_SHOWN))
    else:
        settled.raise_for_outcome()
    return exit_codes.OK if settled is None or settled.outcome == "accepted" else exit_codes.NO


def accepted_sentence(app: App, event: EventData, settled: PublishOutcome) -> str:
    """A duplicate tells nothing of the row of today, and a gateway's request writes none."""
    receipt = settled.receipt
    position = f"{receipt.namespace}-{settled.partition}:{settled.sequence}"
    if settled.duplicate:
        return f"{receipt.what} was accepted before, as {position} with the same id, {receipt.id}"
    if any(isinstance(event, gateway.data) for gateway in app.gateways):
        return f"{receipt.what} was accepted as {position}: its gateway is called, id {receipt.id}"
    return f"{receipt.what} was accepted: its row is at version {settled.sequence}, id {receipt.id}"


def _as_json(receipt: Receipt, settled: PublishOutcome | None) -> dict[str, object]:
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
