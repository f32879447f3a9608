"""`python -m streams.cli.process.code_process`: the handlers of the project in the current folder, for `retold replay`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from streams.cli.process.exit_codes import code_of
from streams.config import load
from streams.errors import StreamsError
from streams.history.code_link import CodeServer
from streams.load import application


def main() -> int:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the application prints is no answer
    try:
        app = application(load())
    except StreamsError as error:
        print(f"the other code cannot be loaded: {error}", file=sys.stderr)
        return code_of(error)
    schemas = [text for space in app.namespaces for text in space.row_type.schemas]
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the command has ended
        CodeServer(app).serve(sys.stdin.buffer, answers, schemas)
    return 0


if __name__ == "__main__":
    sys.exit(main())
