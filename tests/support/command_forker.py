"""Runs commands of retold in processes that it forks: each is a process of its own, and none imports again what all need.

    python -m tests.support.command_forker SOCKET

A request is a message with a command's words, its environment and its folder, and the files for its stdout and stderr. It is
answered by two messages: the process, and its exit code as `subprocess` has it. `tests/support/prepared_commands.py` asks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
from importlib import import_module

import rich.console
import rich.table  # noqa: F401 - what shows tables needs both

from streams import cli
from streams.cli.command_table import COMMANDS

MOST = 1_000_000
"""Bytes of a request."""


def prepare() -> None:
    """Import what the commands need. The application is not theirs."""
    for entry in COMMANDS:
        import_module(f"streams.cli.commands.{entry.name.replace('-', '_')}")
    gc.collect()
    gc.freeze()  # else the first collection of each process would copy all memory


def serve(asked: socket.socket) -> bool:
    """Carry out requests one after the other until nobody asks any more. True: this is the process of a command."""
    while True:
        request, files, _, _ = socket.recv_fds(asked, MOST, 2)
        if not request:
            return False
        pid = os.fork()
        if pid == 0:
            asked.close()
            become(*json.loads(request), files)
            return True
        for file in files:
            os.close(file)
        asked.send(b"%d" % pid)
        asked.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def become(words: list[str], environment: dict[str, str], folder: str, files: list[int]) -> None:
    """Take over what a new process has from the one that starts it."""
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.path[1:1] = [it for it in environment.get("PYTHONPATH", "").split(os.pathsep) if it and it not in sys.path]
    sys.argv = ["retold", *words]


def main() -> None:
    prepare()
    with socket.socket(fileno=int(sys.argv[1])) as asked, contextlib.suppress(KeyboardInterrupt, ConnectionError):
        is_command = serve(asked)
    if is_command:
        cli.main()


if __name__ == "__main__":
    main()
