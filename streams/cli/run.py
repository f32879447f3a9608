"""Run: what stays up until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.numbers import seconds, whole

MOST_PROCESSES = 100


def run(
    no_server: Annotated[bool, typer.Option("--no-server", help="Start no server.")] = False,
) -> None:
    """Start a broker, a worker for everything and a server on this machine; Ctrl-C ends them all.

    With RETOLD_BROKER set, that one is used. Example: [bold]retold run[/], and in another terminal
    [bold]retold publish user.signup user=u1 email=u1@example.org[/]
    """
    from streams.cli import serve

    raise typer.Exit(serve.run(with_server=not no_server))


def worker(
    namespaces: Annotated[
        list[str] | None, typer.Argument(help="Handle these only; without any, all.", metavar="NAMESPACE")
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", parser=seconds, help="Wait so many seconds for a broker to be there.", metavar="SECONDS"
        ),
    ] = 0.0,
    ends_with_stdin: Annotated[
        bool,
        typer.Option("--ends-with-stdin", help="Stop when stdin closes, that is, with the program that began this."),
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", parser=whole(1, MOST_PROCESSES), help="Start so many workers.", metavar="N")
    ] = 1,
) -> None:
    """Handle events until Ctrl-C, on a broker that runs; the laws are checked first.

    Start it as often as wanted: the partitions are shared out. Example: [bold]retold worker user folder[/]
    """
    from streams.cli import serve

    raise typer.Exit(serve.worker(namespaces or [], wait, ends_with_stdin, processes))


def server(
    wait: Annotated[
        float,
        typer.Option(
            "--wait", parser=seconds, help="Wait so many seconds for a broker to be there.", metavar="SECONDS"
        ),
    ] = 0.0,
    ends_with_stdin: Annotated[
        bool,
        typer.Option("--ends-with-stdin", help="Stop when stdin closes, that is, with the program that began this."),
    ] = False,
    fd: Annotated[
        int | None,
        typer.Option("--fd", parser=whole(0), help="Answer at this socket, which listens already.", metavar="NUMBER"),
    ] = None,
) -> None:
    """Answer over HTTP until Ctrl-C: publish events, ask for rows, projections and views, watch event logs.

    It listens on this machine only, unless RETOLD_HTTP_HOST and RETOLD_HTTP_TOKEN say otherwise. Example: [bold]retold
    server[/], and in another terminal [bold]curl http://127.0.0.1:8080/rows/user[/]
    """
    from streams.cli import server as action

    raise typer.Exit(action.server(wait, ends_with_stdin, fd))
