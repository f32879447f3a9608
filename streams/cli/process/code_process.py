"""`python -m streams.cli.process.code_process`: the handlers of the project in the current folder, for `retold replay`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from streams.cli.process.exit_codes import code_of
from streams.config import load
from streams.errors import StreamsError
from streams.history.code.code_messages import write_message
from streams.history.code.code_server import CodeServer
from streams.load import application

SECONDS = 60.0
"""Until a handler that has not returned is named."""


def main() -> int:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the application prints is no answer
    try:
        app = application(load())
    except StreamsError as error:
        print(f"the other code cannot be loaded: {error}", file=sys.stderr)
        return code_of(error)
    schemas = [text for space in app.namespaces for text in space.row_type.schemas]
    server = CodeServer(app)
    threading.Thread(target=watch, args=(server, answers), daemon=True).start()
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the command has ended
        server.serve(sys.stdin.buffer, answers, schemas)
    return 0


def watch(server: CodeServer, answers: IO[bytes], seconds: float = SECONDS, end: Callable[[int], object] = os._exit) -> None:
    """Name the event whose handler does not return, and end this process."""
    while (failed := server.hung(seconds)) is None:
        time.sleep(min(1.0, seconds))
    with suppress(OSError):
        write_message(answers, failed)
    end(1)


if __name__ == "__main__":
    sys.exit(main())
