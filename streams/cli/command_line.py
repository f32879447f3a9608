"""The command `retold`: one table of commands, and one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.command_table import CommandTable
from streams.cli.output.screen import OutputClosed, OutputFailed, discard_output, prepare_streams, talk
from streams.cli.process import exit_codes
from streams.errors import BrokerError, ConfigError, StreamsError, unwritable_state

OUTSIDE = frozenset(
    (
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE),
        *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP, errno.EBUSY, errno.ENOMEM, errno.EBADF),
        *(errno.ESTALE, errno.EAGAIN, errno.ENODEV, errno.ENXIO, errno.ETXTBSY, errno.EOVERFLOW),
    )
)
"""Errors of the machine around retold. Another OSError, such as a file that is not there, was to be expected, and handled."""
UNWRITABLE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT))
"""Those of a file or folder that cannot be written."""


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
    prepare_streams()
    try:
        make_cli()(args=arguments, prog_name="retold")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.OK
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except OutputClosed:
        discard_output()
        return exit_codes.OK
    except StreamsError as error:
        _report(error)
        if isinstance(error, OutputFailed):
            discard_output()
        return exit_codes.code_of(error)
    except (OSError, MemoryError) as error:
        return _of_this_machine(error)
    except Exception as error:  # noqa: BLE001 - the last place where a fault can become an exit code
        if _is_kafkas(error):
            error_of_ours = _translated(error)
            _report(error_of_ours)
            return exit_codes.code_of(error_of_ours)
        return _fault()
    return exit_codes.OK


def _of_this_machine(error: OSError | MemoryError) -> int:
    """A full disk, a folder that cannot be written and the like are told in a sentence; the rest is a fault of ours."""
    if isinstance(error, OSError) and error.errno not in OUTSIDE:
        return _fault()
    if isinstance(error, OSError) and (folder := _state_folder_of(error)) is not None:
        _report(unwritable_state(folder, error))
        discard_output()
        return exit_codes.CONFIGURATION
    if isinstance(error, MemoryError):
        what = "the memory of this machine, or its limit, is used up"
    else:
        where = f"{error.filename}: " if error.filename else ""
        what = f"{where}{error.strerror}"
    _report(ConfigError(f"retold cannot go on: {what}. Change that and try again; what was confirmed before is kept"))
    discard_output()  # Python would fail again on what is left in its buffer
    return exit_codes.CONFIGURATION


def _state_folder_of(error: OSError) -> Path | None:
    """The state folder, if a file there cannot be written: another folder is what an operator can choose."""
    from streams.config import load

    if error.errno not in UNWRITABLE or not isinstance(error.filename, str | os.PathLike):
        return None
    try:
        folder = load().state
    except StreamsError:
        return None
    return folder if Path(error.filename).absolute().is_relative_to(folder.absolute()) else None


def _fault() -> int:
    import traceback

    talk(traceback.format_exc().rstrip())
    talk("This is an internal error in retold; please report it with the traceback above.")
    return exit_codes.FAULT


def _report(error: StreamsError) -> None:
    text = str(error)
    talk(text if "\n" in text or text.endswith((".", "?", "!")) else f"{text}.")
    for note in getattr(error, "__notes__", ()):
        talk(note)


def _translated(error: Any) -> StreamsError:
    from streams.kafka.clients import option_refused
    from streams.kafka.lack_of_memory import lack_of_memory

    return option_refused(error) or lack_of_memory(error) or BrokerError(
        f"a request to Kafka failed: {error.args[0]}. `retold status` shows whether the broker answers"
    )


def _is_kafkas(error: Any) -> bool:
    kind = sys.modules.get("confluent_kafka")
    return kind is not None and isinstance(error, kind.KafkaException)
