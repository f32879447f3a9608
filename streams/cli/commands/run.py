"""`retold run`: a broker, a worker and a server, started and stopped together."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Annotated, NoReturn

import typer

from streams.app import App
from streams.cli.arguments.options import KeepGoing, ResetBreaker
from streams.cli.commands.application_checks import lawful
from streams.cli.commands.worker_role import ended_for_good, reset_breakers, words_beside
from streams.cli.output.readiness import READY, report_ready
from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.port_wait import when_free
from streams.cli.process.reloader import Reloader, wait_until_lawful
from streams.cli.process.shutdown import Shutdown
from streams.cli.process.supervised_process import ReadyAgain, SupervisedProcess
from streams.config import Config, load
from streams.errors import ConfigError, StreamsError
from streams.listening import url_of
from streams.localbroker.choose import own
from streams.localbroker.password import access_sentence
from streams.server.listen import listen, scheme_of
from streams.server.rpc_port import check_rpc_port
from streams.server.site_folder import check_site
from streams.server.speech import speech_of


def run(
    no_server: Annotated[bool, typer.Option("--no-server", help="Run only a broker and a worker.")] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart the worker and the server when a file of the project changes.")
    ] = False,
    keep_going: KeepGoing = False,
    reset_breaker: ResetBreaker = False,
) -> None:
    """Run a broker, a worker for all namespaces and a server on this machine.

    Ctrl-C stops all of them, and so does an error that ends a namespace. If RETOLD_BROKER is set, that broker is used.

    If rows of a new generation are not built, the broker stays, so that `retold rebuild start` builds them; their namespace waits
    until they are. If there is no other, the worker is started again until then.

    With --reload, a change of a file restarts the worker and the server, if it keeps the laws; the broker stays. A broken
    application is waited for.

    Example: [bold]retold run[/], and in another terminal [bold]retold publish user.signup user=u1 email=u1@example.org[/]
    """
    config = load()
    app = _lawful_at_last(config) if reload else lawful(config)
    check_site(config)
    speech_of(config)  # before anything is started
    when_free(lambda: check_rpc_port(config))
    with ExitStack() as stack:
        listening = None if no_server else stack.enter_context(_address(config))
        broker = stack.enter_context(own(config, on_progress=talk))
        talk(f"Kafka is running at {broker}. Commands in this project, such as `retold publish`, find it.")
        if (sentence := access_sentence(config)) is not None:
            talk(sentence)
        shutdown = Shutdown()
        if reset_breaker:
            reset_breakers(app, config, ())
        words = words_beside((), keep_going=keep_going)
        processes = [SupervisedProcess("The worker", words, shutdown, final=_ended_for_good(config), waits=reload)]
        stack.enter_context(processes[0])
        if listening is not None:
            url = url_of(listening, scheme_of(config))
            talk(f"The server listens at {url}; see {url}/openapi.json for its endpoints.")
            if config.grpc_port is not None:
                talk(f"It answers gRPC at port {config.grpc_port}.")
            if config.site is not None:
                talk(f"The front end is at {url}/app/.")
            processes.append(stack.enter_context(server_beside(listening, shutdown, waits=reload)))
        if reload:
            Reloader(config, processes, shutdown.stop).start()
        ready_again = ReadyAgain(processes)
        while not shutdown.stop.is_set():
            time.sleep(0.1)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
            if ready_again():
                report_ready(processes[0].line.removeprefix(READY), to_program=False)
    raise typer.Exit(shutdown.code)


def _ended_for_good(config: Config) -> Callable[[int], bool]:
    """As for any worker, but for rows that are not built: what builds them needs this command's broker."""
    is_final = ended_for_good(config)
    return lambda code: code != exit_codes.NOT_BUILT and is_final(code)


def _lawful_at_last(config: Config) -> App:
    """The application. While it is broken, changes are waited for; then this command begins again, as if just typed.

    For what was imported of the broken application is in this process.
    """
    try:
        return lawful(config)
    except StreamsError as error:
        talk(f"{str(error).rstrip('. ')}.")
        wait_until_lawful(config, str(error))
    return _begin_again()


def _begin_again() -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streams.cli", *sys.argv[1:]])  # noqa: S606 - this very command


def _address(config: Config) -> socket.socket:
    """Raises ConfigError for an address that the server cannot have, before anything starts."""
    try:
        return when_free(lambda: listen(config))
    except ConfigError as error:
        error.add_note("`retold run --no-server` runs without a server.")
        raise


@contextlib.contextmanager
def server_beside(
    listening: socket.socket, shutdown: Shutdown, environ: Mapping[str, str] | None = None, *, waits: bool = False
) -> Iterator[SupervisedProcess]:
    """In a process of its own, so that a fold never delays a response.

    The socket stays open here: requests wait while the server restarts, and are not refused.
    """
    number = listening.fileno()
    words = ["server", "--fd", str(number)]
    server = SupervisedProcess("The server", words, shutdown, final=_unusable, environ=environ, keep=[number], waits=waits)
    with listening, server:
        yield server


def _unusable(code: int) -> bool:
    """A wrong setting stays wrong; a broker may return."""
    return code == exit_codes.CONFIGURATION
