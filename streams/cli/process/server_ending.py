"""The end of a server: in order, and bounded. Kafka's client may hold it up for ever if its broker goes at the same moment."""

from __future__ import annotations

import faulthandler
import os
import sys
import time

from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.shutdown import Shutdown

SECONDS = 10.0
"""In which each thing ends once nothing is left to be done."""


class ServerEnding:
    """Says what a server waits for when it has done its work, and ends the process without it if it takes too long."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown, self.stop = shutdown, shutdown.stop
        self._what: str | None = None
        self._since = 0.0

    def waits_for(self, what: str) -> None:
        """From any thread: all that came before has ended."""
        self._since, self._what = time.monotonic(), what

    def fail(self, why: str) -> None:
        """From any thread: this process cannot go on, and whoever started it is to start another one. Said once."""
        if not self._shutdown.stop.is_set():
            talk(f"A process of the server ends: {why}.")
            self._shutdown.end(exit_codes.FAULT)

    def look(self) -> None:
        """Called now and then by the main thread. It does not return if the end takes too long."""
        if self._what is not None and time.monotonic() - self._since >= SECONDS:
            talk(
                f"The server has done its work, and ends without {self._what}: it did not end in {SECONDS:.0f} s. Nothing is lost; "
                "where each thread stands follows."
            )
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            sys.stderr.flush()
            os._exit(self._shutdown.code)
