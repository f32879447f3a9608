"""Make: a new application, its schemas, and whether it keeps the laws. None of these needs a broker.

Here, as in each module of a help group, a command is its arguments and its help; what it does is imported when it runs,
so that `retold --help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.help import Command, Group

Json = Annotated[bool, typer.Option("--json", help="Data as JSON, one object a line.")]

schemas = typer.Typer(
    cls=Group, help="Turn schema files into classes, freeze and list them.", no_args_is_help=True, add_completion=False
)


def new(
    name: Annotated[str, typer.Argument(help="The application's name, also its folder and package.", metavar="NAME")],
) -> None:
    """Write a new application that runs and passes its own test.

    Example: [bold]retold new shop[/]
    """
    from streams.cli.new import new_application

    new_application(name)


def check(as_json: Json = False) -> None:
    """Say whether the application keeps the laws; needs no broker.

    Each breach is told with its file and line. Example: [bold]retold check && retold worker[/]
    """
    from streams.cli.checks import report

    raise typer.Exit(report(as_json))


@schemas.command(cls=Command)
def generate() -> None:
    """Write the classes of all schemas, and the lock.

    Example: edit schemas/user/signup.avsc, then [bold]retold schemas generate[/]
    """
    from streams.cli import schemas as action

    action.generate()


@schemas.command(cls=Command)
def release() -> None:
    """Freeze the current version of every schema: from now on, event logs may hold it for ever.

    Example: [bold]retold schemas release[/], then commit schemas/lock.json
    """
    from streams.cli import schemas as action

    action.release()


@schemas.command(name="list", cls=Command)
def list_(as_json: Json = False) -> None:
    """List every version of every schema with its id.

    Example: [bold]retold schemas list[/]
    """
    from streams.cli import schemas as action

    action.show(as_json)
