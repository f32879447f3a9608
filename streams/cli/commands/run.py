"""`retold run`: a broker, a worker and a server, started and stopped together."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Annotated

import typer

from streams.cli.arguments.options import KeepGoing, ResetBreaker
from streams.cli.commands.application_checks import lawful
from streams.cli.commands.worker_role import handle_events, import_worker, reset_breakers
from streams.cli.output.readiness import WorkerReadinessReporter
from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.shutdown import Shutdown
from streams.cli.process.supervised_process import SupervisedProcess
from streams.config import Config, load
from streams.errors import ConfigError
from streams.localbroker.choose import own
from streams.server.listen import listen, url_of


def run(
    no_server: Annotated[bool, typer.Option("--no-server", help="Run only a broker and a worker.")] = False,
    keep_going: KeepGoing = False,
    reset_breaker: ResetBreaker = False,
) -> None:
    """Run a broker, a worker for all namespaces and a server on this machine.

    Ctrl-C stops all of them, and so does an error that ends a namespace. If RETOLD_BROKER is set, that broker is used.

    Example: [bold]retold run[/], and in another terminal [bold]retold publish user.signup user=u1 email=u1@example.org[/]
    """
    config = load()
    app = lawful(config)
    with ExitStack() as stack:
        listening = None if no_server else stack.enter_context(_address(config))
        threading.Thread(target=import_worker, daemon=True).start()
        broker = stack.enter_context(own(config, on_progress=talk))
        talk(f"Kafka is running at {broker}. Commands in this project, such as `retold publish`, find it.")
        shutdown = Shutdown()
        reporter = WorkerReadinessReporter()
        if listening is not None:
            url = url_of(listening)
            talk(f"The server listens at {url}; see {url}/openapi.json for its endpoints.")
            server = stack.enter_context(server_beside(listening, shutdown))
            reporter = WorkerReadinessReporter(server.ready.is_set)
        if reset_breaker:
            reset_breakers(app, config, ())
        code = handle_events(app, config, broker, (), shutdown, reporter, keep_going=keep_going)
    raise typer.Exit(code)


def _address(config: Config) -> socket.socket:
    """Raises ConfigError for an address that the server cannot have, before anything starts."""
    try:
        return listen(config)
    except ConfigError as error:
        error.add_note("`retold run --no-server` runs without a server.")
        raise


@contextlib.contextmanager
def server_beside(
    listening: socket.socket, shutdown: Shutdown, environ: Mapping[str, str] | None = None
) -> Iterator[SupervisedProcess]:
    """In a process of its own, so that a fold never delays a response.

    The socket stays open here: requests wait while the server restarts, and are not refused.
    """
    number = listening.fileno()
    words = ["server", "--fd", str(number)]
    server = SupervisedProcess("The server", words, shutdown, final=_unusable, environ=environ, keep=[number])
    with listening, server:
        yield server


def _unusable(code: int) -> bool:
    """A wrong setting stays wrong; a broker may return."""
    return code == exit_codes.CONFIGURATION
