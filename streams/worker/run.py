"""Running a worker: namespaces started, watched and stopped, on one event loop, until told to stop or nothing is left to do."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from streams.clock import SYSTEM
from streams.errors import StreamsError
from streams.worker.faust_app import FaustApp
from streams.worker.runner import NamespaceRunner
from streams.worker.runtime import Runtime
from streams.worker.task import TaskState
from streams.worker.threads import ThreadBackground

log = structlog.get_logger("retold.worker")

EVERY = 0.2


def runtime() -> Runtime:
    """The real one: this machine's time, and threads."""
    return Runtime(SYSTEM, threading.Event, ThreadBackground)


@dataclass(frozen=True)
class NamespaceProgress:
    """How a namespace is doing: `restoring` is (records read, records in all) while it restores."""

    namespace: str
    running: bool
    ready: bool
    restoring: tuple[int, int] | None
    error: BaseException | None


COLLECT_AFTER = 100_000
"""Container objects made since the last collection, where Python's own figure is 700."""

Watch = Callable[[list[NamespaceProgress]], None]


def snapshot(namespace: str, runner: NamespaceRunner) -> NamespaceProgress:
    progress = [task.progress for task in runner.cycle.tasks.in_state(TaskState.RESTORING)]
    restoring = (sum(p.done for p in progress), sum(p.total for p in progress)) if progress else None
    return NamespaceProgress(namespace, runner.running, runner.ready.is_set(), restoring, runner.error)


def run(worker: FaustApp, *, stop: threading.Event | None = None, watch: Watch = lambda _: None) -> list[BaseException]:
    """Run until `stop` is set, a signal comes (SIGINT, SIGTERM) or every namespace has ended. Gives what ended any.

    `watch` is told five times a second how each namespace is doing.
    """
    return asyncio.run(_run(worker, stop or threading.Event(), watch))


def spare_the_collector() -> None:
    """For a process that does nothing else: look for cycles seldom, and never in what was there from the start.

    A batch makes many containers and no cycles; looking through them again and again took 15 to 25 % of handling.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 100)


async def _run(worker: FaustApp, stop: threading.Event, watch: Watch) -> list[BaseException]:
    _listen(stop)
    await worker.start()
    told: set[str] = set()
    try:
        while not stop.is_set() and any(runner.running for runner in worker.runners.values()):
            snapshots = [snapshot(name, runner) for name, runner in worker.runners.items()]
            watch(snapshots)
            _tell_ended(snapshots, told)
            await asyncio.sleep(EVERY)
    finally:
        await worker.stop()
    snapshots = [snapshot(name, runner) for name, runner in worker.runners.items()]
    watch(snapshots)
    _tell_ended(snapshots, told)
    return [shot.error for shot in snapshots if shot.error is not None]


def _listen(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _tell_ended(snapshots: Iterable[NamespaceProgress], told: set[str]) -> None:
    for shot in snapshots:
        if shot.error is not None and shot.namespace not in told:
            told.add(shot.namespace)
            sentence = isinstance(shot.error, StreamsError)
            log.error(
                "a namespace has ended",
                namespace=shot.namespace,
                error=str(shot.error),
                exc_info=None if sentence else shot.error,
            )
