"""Operate: how things are, the topics, and what is set aside."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.help import Command, Group
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


parked = typer.Typer(
    cls=Group,
    help="See what is set aside, and retry, reject or answer it; quarantine what waits.",
    no_args_is_help=True,
    add_completion=False,
)
Place = Annotated[str, typer.Argument(help="Where it lies in its inbox, such as user-3@1042.", metavar="PLACE")]
Who = Annotated[str | None, typer.Option("--who", help="Who says so; without it, you.", metavar="NAME")]
Why = Annotated[str, typer.Option("--why", help="Why; it is kept in the log.", metavar="TEXT")]


@parked.command("list", cls=Command)
def list_(
    namespace: Annotated[str | None, typer.Argument(help="Of this one only.", metavar="NAMESPACE")] = None,
    as_json: Json = False,
) -> None:
    """List what is parked, unanswered or quarantined, and why.

    Example: [bold]retold parked list user[/]
    """
    from streams.cli import parked as action

    raise typer.Exit(action.listed(namespace, as_json))


@parked.command(cls=Command)
def show(place: Place, as_json: Json = False) -> None:
    """Show all of one: its data, since when, and the traceback.

    Example: [bold]retold parked show user-3@1042[/]
    """
    from streams.cli import parked as action

    raise typer.Exit(action.show(place, as_json))


@parked.command(cls=Command)
def retry(
    place: Annotated[str | None, typer.Argument(help="Where it lies, such as user-3@1042.", metavar="PLACE")] = None,
    every: Annotated[
        str | None, typer.Option("--all", help="Every parked key of this namespace.", metavar="NAMESPACE")
    ] = None,
    who: Who = None,
) -> None:
    """Handle a key's queue again, from its first event on; or the queues of all keys.

    For after the handler was mended, or the gateway's other end. Example: [bold]retold parked retry user-3@1042[/]
    """
    from streams.cli import parked as action

    if (place is None) == (every is None):
        raise typer.BadParameter("a place such as user-3@1042, or --all and a namespace's name, was expected.")
    raise typer.Exit(action.retry_all(every, who) if every else action.command("retry", place or "", who, ""))


@parked.command(cls=Command)
def reject(place: Place, why: Why, who: Who = None) -> None:
    """Take the first event of a key's queue as rejected, and handle the rest.

    Example: [bold]retold parked reject user-3@1042 --why "a typo"[/]
    """
    from streams.cli import parked as action

    raise typer.Exit(action.command("reject", place, who, why))


@parked.command(cls=Command)
def answer(
    place: Place,
    event: Annotated[
        list[str], typer.Argument(help="The answer: an event, then its fields.", metavar="TYPE NAME=VALUE…")
    ],
    who: Who = None,
    why: Why = "",
) -> None:
    """Answer for a gateway that gave up.

    Example: [bold]retold parked answer email-0@7 email.sent email=u1/welcome to=u1@example.org receipt="by hand"[/]
    """
    from streams.cli import parked as action

    raise typer.Exit(action.command("answer", place, who, why, event))


@parked.command(cls=Command)
def quarantine(
    place: Place,
    why: Annotated[str, typer.Option("--why", help="Why; it is kept with the event.", metavar="TEXT")],
    who: Who = None,
) -> None:
    """Set aside the event that a partition waits at, so that the partition goes on.

    For an event whose schema or handler will never come. Example: [bold]retold parked quarantine user-3@1042 --why "a test"[/]
    """
    from streams.cli import parked as action

    raise typer.Exit(action.quarantine(place, who, why))
