"""The command `retold`: all that it needs is imported once Ctrl-C has an answer, since that takes longer than a quick command."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.cli.command_line import make_cli, run_command

__all__ = ["main", "make_cli", "run_command"]


def main() -> None:
    """Run the command of this process, and end with its exit code."""
    try:
        from streams.cli.process.collector import collect_seldom

        collect_seldom()
        from streams.cli.command_line import run_command

        code = run_command()
    except KeyboardInterrupt:
        from streams.cli.process.exit_codes import INTERRUPTED

        code = INTERRUPTED
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C from now on ends it without a traceback of Python's own end
    sys.exit(code)


def __getattr__(name: str) -> Any:
    if name in __all__:
        from streams.cli import command_line

        return getattr(command_line, name)
    raise AttributeError(f"module 'streams.cli' has no attribute {name!r}")
