"""The work of a worker, for `retold worker` and `retold run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from streams.app import App
from streams.cli.output.readiness import WorkerReadinessReporter
from streams.cli.process import exit_codes, logging_setup
from streams.cli.process.collector import WHILE_A_BATCH_LIVES, BetweenBatches, spare_the_collector
from streams.cli.process.open_files import raise_open_files_limit
from streams.cli.process.shutdown import Shutdown, run_beside_signals
from streams.config import Config
from streams.errors import unwritable_state

if TYPE_CHECKING:
    from streams.worker.deadman import Deadman


FOR_A_BROKER = 60.0
"""s that a worker waits for the broker, if it is started again while that is away."""


def words_beside(namespaces: Sequence[str], *, keep_going: bool) -> list[str]:
    """The command of a worker in a process of its own, which is started again if it was killed.

    It waits for the broker then: to end without one ends all that runs beside it, which would have outlasted that.
    """
    return ["worker", *namespaces, "--wait", f"{FOR_A_BROKER:.0f}", *(["--keep-going"] if keep_going else [])]


def import_worker() -> None:
    """Faust takes seconds to import; a broker may start meanwhile."""
    import streams.worker.assemble  # noqa: F401 - used by `handle_events`, once there is a broker to use it on


def reset_breakers(app: App, config: Config, namespaces: Sequence[str]) -> None:
    from streams.worker.breaker import trip_note  # late: other commands need no worker

    for name in namespaces or [space.name for space in app.namespaces]:
        trip_note(config, name).clear()


def handle_events(
    app: App,
    config: Config,
    address: str,
    namespaces: Sequence[str],
    shutdown: Shutdown,
    reporter: WorkerReadinessReporter,
    *,
    keep_going: bool = False,
) -> int:
    """Runs a worker for these namespaces (none: all) until the shutdown, or until an error ends one. Gives the exit code."""
    logging_setup.set_up_worker(config)
    from streams.worker import assemble  # late: see `import_worker`
    from streams.worker.run import run, runtime

    raise_open_files_limit(len(namespaces or app.namespaces))
    spare_the_collector(WHILE_A_BATCH_LIVES)
    deadman = _deadman(config)
    try:
        between = BetweenBatches()
        real = runtime(between.taken, between.dropped)
        worker = shutdown.unless_stopped(partial(assemble.worker, app, config, address, namespaces, real, deadman))
        if worker is None:
            return shutdown.code
        with reporter:
            errors = run_beside_signals("worker", partial(run, worker, stop=shutdown.stop, watch=reporter, keep_going=keep_going))
    finally:
        deadman.close()
    codes = [exit_codes.code_of(error) for error in errors]  # the worker has logged its errors
    if exit_codes.START_AGAIN in codes:
        sys.stdout.flush()
        os._exit(exit_codes.START_AGAIN)  # not sys.exit: a thread is in a handler that does not return
    return codes[0] if codes else shutdown.code


def _deadman(config: Config) -> Deadman:
    """Raises ConfigError if the state folder cannot be written."""
    from streams.worker.deadman import Deadman
    from streams.worker.notes import folder_of

    try:
        return Deadman(folder_of(config))
    except OSError as error:
        raise unwritable_state(config.state, error) from error


def ended_for_good(config: Config) -> Callable[[int], bool]:
    """Whether a worker with this exit code would end again: not if it was killed, or to get rid of a handler."""
    from streams.worker.deadman import has_just_fired
    from streams.worker.notes import folder_of

    def is_final(code: int) -> bool:
        return code > 0 and code != exit_codes.START_AGAIN and not has_just_fired(folder_of(config))

    return is_final
