"""Runs a worker: starts, watches and stops its namespaces on one event loop, until it is stopped or all of them have ended."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from streams.clock import SYSTEM
from streams.engine.readable import in_a_line
from streams.errors import HandlerTimeout, StreamsError
from streams.worker.faust_app import FaustApp
from streams.worker.runner import NamespaceRunner
from streams.worker.runtime import Runtime
from streams.worker.task import TaskState
from streams.worker.threads import ThreadBackground

log = structlog.get_logger("retold.worker")

EVERY = 0.2


def runtime(batch_taken: Callable[[], None] = lambda: None, batch_dropped: Callable[[], None] = lambda: None) -> Runtime:
    """The real runtime: the system clock, and threads."""
    return Runtime(SYSTEM, threading.Event, ThreadBackground, batch_taken, batch_dropped)


@dataclass(frozen=True)
class NamespaceProgress:
    """The state of a namespace: `restoring` is (records read, records in all) during a restore."""

    namespace: str
    running: bool
    ready: bool
    restoring: tuple[int, int] | None
    error: BaseException | None


Watch = Callable[[list[NamespaceProgress]], None]


def snapshot(namespace: str, runner: NamespaceRunner) -> NamespaceProgress:
    progress = [task.progress for task in runner.cycle.tasks.in_state(TaskState.RESTORING)]
    restoring = (sum(p.done for p in progress), sum(p.total for p in progress)) if progress else None
    return NamespaceProgress(namespace, runner.running, runner.ready.is_set(), restoring, runner.error)


def run(
    worker: FaustApp, *, stop: threading.Event | None = None, watch: Watch = lambda _: None, keep_going: bool = False
) -> list[BaseException]:
    """Run until `stop` is set, SIGINT or SIGTERM arrives, or a namespace has ended. Returns the errors that ended any.

    With `keep_going` the others go on without it, until all have ended. A namespace that waits ends nothing, unless all do. `watch`
    is called five times a second with the state of each namespace.
    """
    return asyncio.run(_run(worker, stop or threading.Event(), watch, all if keep_going else any))


async def _run(
    worker: FaustApp, stop: threading.Event, watch: Watch, how_many: Callable[[Iterable[bool]], bool]
) -> list[BaseException]:
    """`how_many` namespaces have to end for the worker to end."""
    _listen(stop)
    await worker.start()
    reported: set[str] = set()
    try:
        while not stop.is_set() and not _is_over(worker, how_many):
            snapshots = [snapshot(name, runner) for name, runner in worker.runners.items()]
            watch(snapshots)
            _report_ended(snapshots, reported)
            await asyncio.sleep(EVERY)
    finally:
        waiting = [runner.waits for runner in worker.runners.values()] if _stands_still(worker) else []
        await worker.stop()
    snapshots = [snapshot(name, runner) for name, runner in worker.runners.items()]
    watch(snapshots)
    _report_ended(snapshots, reported)
    return [error for error in (*(shot.error for shot in snapshots), *waiting) if error is not None]


def _is_over(worker: FaustApp, how_many: Callable[[Iterable[bool]], bool]) -> bool:
    """Also if a handler does not return: only the end of the process ends that call."""
    runners = worker.runners.values()
    stuck = any(isinstance(runner.error, HandlerTimeout) for runner in runners if not runner.running)
    return stuck or _stands_still(worker) or how_many(not runner.running for runner in runners)


def _stands_still(worker: FaustApp) -> bool:
    """Whether no namespace does anything but wait: who started the worker is told why by its end."""
    return all(not runner.running or runner.waits is not None for runner in worker.runners.values())


def _listen(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _report_ended(snapshots: Iterable[NamespaceProgress], reported: set[str]) -> None:
    for shot in snapshots:
        if shot.error is not None and shot.namespace not in reported:
            reported.add(shot.namespace)
            sentence = isinstance(shot.error, StreamsError)
            text = str(shot.error) if sentence else in_a_line(shot.error)
            if isinstance(shot.error, HandlerTimeout):
                text = text.partition("\n")[0]  # its stack was logged when the call was named
            log.error(
                "namespace ended",
                namespace=shot.namespace,
                detail=f"namespace ended: {text}",
                exc_info=None if sentence else shot.error,
            )
