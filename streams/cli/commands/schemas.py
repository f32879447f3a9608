"""`retold schemas`: classes from schema files, versions released and listed."""

from __future__ import annotations

import typer

from streams.cli.arguments.options import Json
from streams.cli.output.help import Command, Group
from streams.cli.output.screen import displayed, json_line, say, table, talk
from streams.config import load
from streams.load import events_file
from streams.schemas import generate as formats
from streams.schemas.lock import LOCK_FILE, load_lock

schemas = typer.Typer(
    name="schemas",
    cls=Group,
    help="Generate classes from schema files; release and list schemas.",
    no_args_is_help=True,
    add_completion=False,
)


@schemas.command(cls=Command)
def generate() -> None:
    """Generate the classes of all schemas, and the lock file.

    Example: edit schemas/user/signup.avsc, then [bold]retold schemas generate[/]
    """
    config = load()
    report = formats.generate(config.project, config.schemas, events_file(config))
    for word, names in (("new", report.added), ("changed", report.changed), ("removed", report.removed)):
        for name in names:
            say(f"{word} {name}")
    for file in report.files:
        talk(f"{displayed(file)} is written.")
    if not report.written:
        talk("Nothing has changed.")


@schemas.command(cls=Command)
def release() -> None:
    """Release the current version of every schema: it may not change any more, because event logs may hold it.

    Example: [bold]retold schemas release[/], then commit schemas/lock.json
    """
    config = load()
    names = formats.release(config.schemas)
    for name in names:
        say(f"released {name}")
    lock = displayed(config.schemas / LOCK_FILE)
    talk(f"{lock} is written: commit it." if names else "All versions are released already.")


@schemas.command(name="list", cls=Command)
def list_(as_json: Json = False) -> None:
    """List every version of every schema with its id.

    Example: [bold]retold schemas list[/]
    """
    versions = [(name, version) for name, of in load_lock(load().schemas).items() for version in of]
    if as_json:
        for name, v in versions:
            json_line({"name": name, "version": v.version, "id": v.id, "released": v.released, "schema": v.schema})
    else:
        rows = [(name, v.version, v.id, "released" if v.released else "draft") for name, v in versions]
        table(("schema", "version", "id", "state"), rows, right=("version", "id"))
