"""The command `retold`: one table of commands, and one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from streams.cli import exits, make, operate, run, use
from streams.cli.help import Command, Group
from streams.cli.screen import ReaderLeft, talk
from streams.errors import BrokerError, StreamsError

COMMANDS = (
    ("Make", make.new),
    ("Make", make.check),
    ("Run", run.run),
    ("Run", run.worker),
    ("Run", run.server),
    ("Use", use.publish),
    ("Use", use.get),
    ("Use", use.tail),
    ("Operate", operate.status),
    ("Operate", operate.topics),
)


def version(wanted: bool) -> None:
    """For `--version`."""
    if wanted:
        from importlib.metadata import version as of

        print(f"retold {of('retold')}")
        raise typer.Exit(exits.OK)


def top(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Say the version.")] = False,
) -> None:
    r"""Publish a named event; its one handler folds it into a table you can ask; the event log keeps it for ever.

    Begin with [bold]retold new shop[/], then in its folder [bold]retold run[/]. Settings stand in \[tool.retold] of
    pyproject.toml or in RETOLD_… variables.
    """


def make_cli() -> typer.Typer:
    """Everything, in the order of the help."""
    cli = typer.Typer(
        name="retold",
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(top)
    cli.add_typer(make.schemas, name="schemas", rich_help_panel="Make")
    for panel, command in COMMANDS:
        cli.command(rich_help_panel=panel, cls=Command)(command)
    cli.add_typer(operate.parked, name="parked", rich_help_panel="Operate")
    return cli


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    try:
        make_cli()(args=arguments, prog_name="retold")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except ReaderLeft:
        return _quietly()
    except StreamsError as error:
        _tell(error)
        return exits.code_of(error)
    except Exception as error:  # noqa: BLE001 - the last place where a fault can become an exit code
        if _is_kafkas(error):
            told = _told_of_kafka(error)
            _tell(told)
            return exits.code_of(told)
        import traceback

        talk(traceback.format_exc().rstrip())
        talk("This is a fault of retold's own; please report it with the lines above.")
        return exits.FAULT
    return exits.OK


def _tell(error: StreamsError) -> None:
    text = str(error)
    talk(text if "\n" in text or text.endswith((".", "?", "!")) else f"{text}.")
    for note in getattr(error, "__notes__", ()):
        talk(note)


def _quietly() -> int:
    """Without this, Python would find nobody to read what is left when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.OK


def _told_of_kafka(error: Any) -> StreamsError:
    from streams.kafka.clients import option_refused

    return option_refused(error) or BrokerError(
        f"Kafka could not do it: {error.args[0]}. `retold status` says whether the broker answers"
    )


def _is_kafkas(error: Any) -> bool:
    kind = sys.modules.get("confluent_kafka")
    return kind is not None and isinstance(error, kind.KafkaException)


def main() -> None:
    sys.exit(run_command())
