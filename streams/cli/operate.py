"""Operate: how things are, and the topics."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.make import Json


def status(as_json: Json = False) -> None:
    """Show lag, owners and counters of every namespace, and what waits.

    Example: [bold]retold status[/]
    """
    from streams.cli import status as action

    raise typer.Exit(action.status(as_json))


def topics(
    create: Annotated[bool, typer.Option("--create", help="Make those that are missing.")] = False,
    as_json: Json = False,
) -> None:
    """Show the topics and compare their settings with what they should be.

    Example: [bold]retold topics --create[/]
    """
    from streams.cli import topics as action

    raise typer.Exit(action.topics(create, as_json))
