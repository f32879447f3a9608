"""`retold worker`: handles events on a broker that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import BrokerWait, EndsWithStdin, KeepGoing, ResetBreaker
from streams.cli.arguments.parsers import whole
from streams.cli.commands.application_checks import lawful
from streams.cli.commands.worker_role import ended_for_good, handle_events, import_worker, reset_breakers, words_beside
from streams.cli.output.readiness import WorkerReadinessReporter, report_ready
from streams.cli.process.broker_lookup import find_broker
from streams.cli.process.shutdown import Shutdown
from streams.cli.process.supervised_process import ReadyAgain, SupervisedProcess
from streams.config import Config, environment_with, load
from streams.errors import ConfigError

MOST_PROCESSES = 100
LAST_PORT = 65_535


def worker(
    namespaces: Annotated[
        list[str] | None, typer.Argument(help="Namespaces to handle; default: all.", metavar="NAMESPACE")
    ] = None,
    wait: BrokerWait = 0.0,
    ends_with_stdin: EndsWithStdin = False,
    processes: Annotated[
        int, typer.Option("--processes", parser=whole(1, MOST_PROCESSES), help="Run this many workers.", metavar="N")
    ] = 1,
    keep_going: KeepGoing = False,
    reset_breaker: ResetBreaker = False,
) -> None:
    """Handle events from a running broker; checks the laws first.

    It runs until Ctrl-C, or until an error ends a namespace. Start as many workers as you like: the partitions are
    distributed among them.

    Example: [bold]retold worker user folder[/]
    """
    config, names = load(), namespaces or []
    app = lawful(config)
    for name in names:
        namespace_named(app, name)
    shutdown = Shutdown(ends_with_stdin)
    if wait and processes == 1:
        import_worker()
    address = find_broker(config, wait, shutdown)
    if address is None:
        raise typer.Exit(shutdown.code)
    if reset_breaker:
        reset_breakers(app, config, names)
    if processes > 1:
        words = words_beside(names, keep_going=keep_going)
        environs = [environ_of(config, number) for number in range(processes)]
        raise typer.Exit(_supervise(environs, words, shutdown, ended_for_good(config), to_program=ends_with_stdin))
    reporter = WorkerReadinessReporter(to_program=ends_with_stdin)
    raise typer.Exit(handle_events(app, config, address, names, shutdown, reporter, keep_going=keep_going))


def environ_of(config: Config, number: int) -> Mapping[str, str] | None:
    """Each worker shows its metrics at a port of its own: the one that is set, and those that follow. None: as this process."""
    first = config.worker_metrics_port
    if not first:
        return None
    if first + number > LAST_PORT:
        raise ConfigError(f"RETOLD_WORKER_METRICS_PORT is {first}; a lower one was expected, since each process takes the next one")
    return environment_with(RETOLD_WORKER_METRICS_PORT=str(first + number))


def _supervise(
    environs: Sequence[Mapping[str, str] | None],
    words: Sequence[str],
    shutdown: Shutdown,
    final: Callable[[int], bool],
    *,
    to_program: bool,
) -> int:
    """Runs a worker in each environment; they end together, and one that is killed is restarted. Gives the exit code."""
    processes = len(environs)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(SupervisedProcess(f"Worker {n} of {processes}", words, shutdown, final=final, environ=environ))
            for n, environ in enumerate(environs, 1)
        ]
        ready_again = ReadyAgain(workers)
        while not shutdown.stop.is_set():
            time.sleep(0.1)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
            if ready_again():
                report_ready(f"{processes} workers", to_program)
    return shutdown.code
