"""The server beside the worker of `retold run`: a process of its own, so that a fold never slows an answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from streams.cli import exits
from streams.cli.child import Child
from streams.cli.ending import Ending
from streams.cli.screen import talk

LEAST_PAUSE, MOST_PAUSE = 1.0, 30.0
"""s before it is started again: the least after one that was ready, twice as long after each that never was."""


class ServerBeside:
    """A server at the socket `listening`, until `ending` or the end of the block; started again when it ends by itself.

    The socket is opened here and stays open meanwhile, so whoever asks then waits and is not refused. If a setting is
    not usable, as the server itself has said, everything ends. `ready` is set once it has read tables and logs.
    """

    def __init__(self, listening: socket.socket, ending: Ending, environ: Mapping[str, str] | None = None) -> None:
        self.ready, self.pid = threading.Event(), 0
        self._listening, self._ending, self._environ = listening, ending, environ
        self._thread = threading.Thread(target=self._keep, name="server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.stop.set()
        self._thread.join()

    def _keep(self) -> None:
        pause = LEAST_PAUSE
        while not self._ending.stop.is_set():
            was_ready, why = self._run()
            if self._ending.stop.is_set():
                break
            pause = LEAST_PAUSE if was_ready else pause
            talk(f"The server {why}; it is started again in {pause:.0f} s. The worker goes on.")
            self._ending.stop.wait(pause)
            pause = min(2 * pause, MOST_PAUSE)
        self._listening.close()  # whoever asks now is refused, and does not wait for the broker's end

    def _run(self) -> tuple[bool, str]:
        """From its start to its end: whether it was ready, and how it ended."""
        number = self._listening.fileno()
        try:
            child = Child("server", "--fd", str(number), keep=[number], environ=self._environ, stdout=subprocess.PIPE)
        except OSError as error:
            return False, f"cannot be started ({error.strerror})"
        ready, self.pid = False, child.process.pid
        said = child.process.stdout
        assert said is not None
        with said, child:
            os.set_blocking(said.fileno(), False)
            while child.code is None and not self._ending.stop.wait(0.1):
                if said.read():  # it says its address when it is ready
                    ready = True
                    self.ready.set()
        if child.code == exits.CONFIGURATION and not self._ending.stop.is_set():
            self._ending.end(exits.CONFIGURATION)
        return ready, _how(child.code or 0)


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with exit code {code}"
