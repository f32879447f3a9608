"""Use: publish events, ask for rows, watch what is handled."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.make import Json
from streams.cli.numbers import seconds, whole


def publish(  # noqa: PLR0913 - one parameter an option
    event_type: Annotated[
        str | None, typer.Argument(help="The event's name, such as user.signup.", metavar="TYPE")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Argument(help="The event's fields, each as name=value.", metavar="NAME=VALUE")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--from", help="A file of events: jsonl, csv, tsv or avro; - for stdin.", metavar="FILE"),
    ] = None,
    named_format: Annotated[
        str | None,
        typer.Option("--format", help="The file's format, where its suffix does not say it.", metavar="FORMAT"),
    ] = None,
    with_function: Annotated[
        str | None,
        typer.Option("--with", help="The function that makes an event of a row.", metavar="MODULE:FUNCTION"),
    ] = None,
    on_error: Annotated[
        str,
        typer.Option(
            "--on-error", help="A broken line: stop, before any is published, or skip it.", metavar="stop|skip"
        ),
    ] = "stop",
    limit: Annotated[
        int | None, typer.Option("--limit", parser=whole(1), help="Only the first so many rows.", metavar="N")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="The column of the file that is each event's id.", metavar="COLUMN"),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option("--time-column", help="The column of the file that says when it happened.", metavar="COLUMN"),
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="The event's id: the same event under it again changes nothing, another of that key is quarantined.",
            metavar="ID",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="When it happened, such as 2026-01-31T12:00:00Z; else now.", metavar="TIME"),
    ] = None,
    expected_version: Annotated[
        int | None,
        typer.Option(
            "--expected-version",
            parser=whole(0),
            help="Handle it only if its row has this version; 0: none.",
            metavar="N",
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", parser=seconds, help="Wait so many seconds for the outcome.", metavar="SECONDS"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish one event, or a file of them.

    Equal rows of a file are all published, each under an id of its own. Publishing the file again changes nothing.

    Example: [bold]retold publish user.signup user=u1 email=u1@example.org --wait 5[/]

    Example: [bold]retold publish user.signup --from signups.tsv --with processors.publish:from_row[/]
    """
    from streams.cli import publish as action
    from streams.cli.publish_file import Rows as RowOptions

    one = action.One(event_id, time, expected_version, wait)
    rows = RowOptions(named_format, with_function, on_error, limit, id_column, time_column)
    raise typer.Exit(action.publish(event_type, values or [], file, one, rows, as_json))


def get(
    table: Annotated[str, typer.Argument(help="The namespace whose table is asked.", metavar="NAMESPACE")],
    key: Annotated[str | None, typer.Argument(help="One row's key; without it, the rows.", metavar="KEY")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", parser=whole(1), help="At most so many rows.", metavar="N")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a row with its version, or the rows of a table.

    Example: [bold]retold get user u1[/]
    """
    from streams.cli import get as action

    raise typer.Exit(action.get(table, key, limit, as_json))


def tail(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Events (user.signup) or namespaces (user); without any, all.", metavar="TYPE|NAMESPACE"),
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="From the first event on.")] = False,
    last: Annotated[
        int | None, typer.Option("--last", parser=whole(1), help="Show the last so many events and end.", metavar="N")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch the event log: what is handled, as it is handled, until Ctrl-C.

    Example: [bold]retold tail user.signup --last 5[/]
    """
    from streams.cli import tail as action

    raise typer.Exit(action.tail(what or [], from_beginning, last, as_json))
