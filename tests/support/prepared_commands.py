"""Commands of retold in processes that need not import it: most of what a command costs that only asks."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support import command_forker

PROJECT = Path(__file__).parents[2]


def start(words: Sequence[str], env: Mapping[str, str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as a user's shell starts it."""
    command = [sys.executable, "-m", "streams.cli", *words]
    return subprocess.run(
        command, env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


class PreparedCommands:
    """Starts `tests/support/command_forker.py` when it is asked for the first command; that ends with this process."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._forker: tuple[subprocess.Popen[bytes], socket.socket, dict[str, str]] | None = None
        atexit.register(self.close)

    def run(self, words: Sequence[str], env: Mapping[str, str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Python starts it anew if more than settings of retold differ from what is prepared, or while another one runs.
        """
        if not self._turn.acquire(blocking=False):
            return start(words, env, folder, timeout)
        with contextlib.ExitStack() as stack:
            stack.callback(self._turn.release)
            asked, prepared_for = self._prepared()
            if without_settings(env) != prepared_for:
                return start(words, env, folder, timeout)
            out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            socket.send_fds(asked, [json.dumps([words, dict(env), str(folder)]).encode()], [out.fileno(), err.fileno()])
            code = self._code(asked, words, timeout)
            return subprocess.CompletedProcess(words, code, written(out), written(err))

    def _prepared(self) -> tuple[socket.socket, dict[str, str]]:
        if self._forker is None:
            asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            command = [sys.executable, "-m", command_forker.__name__, str(theirs.fileno())]
            with theirs:
                process = subprocess.Popen(command, cwd=PROJECT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            self._forker = process, asked, without_settings(os.environ)
        return self._forker[1:]

    def _code(self, asked: socket.socket, words: Sequence[str], timeout: float) -> int:
        asked.settimeout(SECONDS_TO_PREPARE)
        pid = int(asked.recv(99))
        asked.settimeout(timeout)
        try:
            return int(asked.recv(99))
        except BaseException as error:
            os.kill(pid, signal.SIGKILL)
            self.close()
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(words, timeout) from error
            raise

    def close(self) -> None:
        if self._forker is not None:
            process, asked, _ = self._forker
            self._forker = None
            asked.close()
            process.wait()


SECONDS_TO_PREPARE = 120.0
"""On a busy machine."""


def without_settings(env: Mapping[str, str]) -> dict[str, str]:
    """What Python and its libraries may look at while they start, but for PYTHONPATH, which the forker carries out.

    pytest and its fixtures set some that no command looks at.
    """
    others = ("RETOLD_", "PYTEST_", "MYPY_", "PYTHONPATH")
    return {name: value for name, value in env.items() if not name.startswith(others)}


def written(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
