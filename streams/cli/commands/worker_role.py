"""The work of a worker, for `retold worker` and `retold run`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streams.app import App
from streams.cli.output.readiness import WorkerReadinessReporter
from streams.cli.process import exit_codes, logging_setup
from streams.cli.process.shutdown import Shutdown, run_beside_signals
from streams.config import Config


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
    from streams.worker.run import run, runtime, spare_the_collector

    spare_the_collector()
    worker = shutdown.unless_stopped(partial(assemble.worker, app, config, address, namespaces, runtime()))
    if worker is None:
        return shutdown.code
    with reporter:
        errors = run_beside_signals("worker", partial(run, worker, stop=shutdown.stop, watch=reporter, keep_going=keep_going))
    return exit_codes.code_of(errors[0]) if errors else shutdown.code  # the worker has logged its errors
