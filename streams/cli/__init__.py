"""The command `retold`: one table of commands, and one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from streams.cli.command_table import CommandTable
from streams.cli.output.screen import OutputClosed, talk
from streams.cli.process import exit_codes
from streams.errors import BrokerError, StreamsError


def version(wanted: bool) -> None:
    """For `--version`."""
    if wanted:
        from importlib.metadata import version as of

        print(f"retold {of('retold')}")
        raise typer.Exit(exit_codes.OK)


def top(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    r"""Publish a named event; its one handler folds it into a table you can query; the event log keeps it for ever.

    Start with [bold]retold new shop[/], then [bold]retold run[/] in its folder. Settings are in \[tool.retold] of
    pyproject.toml or in RETOLD_… environment variables.
    """


def make_cli() -> typer.Typer:
    """The command `retold` with all of its commands."""
    cli = typer.Typer(
        name="retold",
        cls=CommandTable,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(top)
    return cli


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    try:
        make_cli()(args=arguments, prog_name="retold")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.OK
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except OutputClosed:
        return _quietly()
    except StreamsError as error:
        _report(error)
        return exit_codes.code_of(error)
    except Exception as error:  # noqa: BLE001 - the last place where a fault can become an exit code
        if _is_kafkas(error):
            error_of_ours = _translated(error)
            _report(error_of_ours)
            return exit_codes.code_of(error_of_ours)
        import traceback

        talk(traceback.format_exc().rstrip())
        talk("This is an internal error in retold; please report it with the traceback above.")
        return exit_codes.FAULT
    return exit_codes.OK


def _report(error: StreamsError) -> None:
    text = str(error)
    talk(text if "\n" in text or text.endswith((".", "?", "!")) else f"{text}.")
    for note in getattr(error, "__notes__", ()):
        talk(note)


def _quietly() -> int:
    """Python writes what is left in its buffer when it ends, and would report that the pipe is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_codes.OK


def _translated(error: Any) -> StreamsError:
    from streams.kafka.clients import option_refused

    return option_refused(error) or BrokerError(
        f"a request to Kafka failed: {error.args[0]}. `retold status` shows whether the broker answers"
    )


def _is_kafkas(error: Any) -> bool:
    kind = sys.modules.get("confluent_kafka")
    return kind is not None and isinstance(error, kind.KafkaException)


def main() -> None:
    sys.exit(run_command())
