"""Workers in this process, for tests against a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streams import App
from streams.config import Config, load
from streams.engine.changes import BlockingRecord, CallReference
from streams.engine.image import Image
from streams.worker.assemble import worker
from streams.worker.faust_app import FaustApp
from streams.worker.run import run, runtime
from streams.worker.task import TaskState
from streams.worker.tasks import Tasks
from tests.support.ending import see_ended

PATIENCE = 90.0
"""s for what takes a moment: a busy machine is given time, and a test that passes is no slower for it."""


def settings(state: Path, prefix: str, **others: str) -> Config:
    """The defaults with two partitions, under a prefix of the test's own."""
    variables = {
        "RETOLD_PREFIX": prefix,
        "RETOLD_STATE": str(state),
        "RETOLD_PARTITIONS": "2",
        "RETOLD_INSTANCE": "test",
    }
    return load({**variables, **{f"RETOLD_{name.upper()}": value for name, value in others.items()}}, start=state)


def until(
    condition: Callable[[], bool],
    what: str,
    *,
    seconds: float = PATIENCE,
    pause: float | None = None,
    despite: type[Exception] | tuple[()] = (),
) -> None:
    """Wait for `condition`, or fail saying what did not happen.

    A question that raises `despite` is asked again, as one does of a broker that has just come back; the last such error is
    shown with a failure.

    It is asked 50 times a second, and less often where asking takes long itself, such as by a status or a command: who
    waits leaves the machine to what is waited for. `pause` is the time between two questions, in s, where that is known.
    """
    __tracebackhide__ = True  # a failure is shown where it was waited
    deadline, unanswered = time.monotonic() + seconds, ""
    while True:
        began = time.monotonic()
        try:
            if condition():
                return
            unanswered = ""
        except despite as error:
            unanswered = f"; the last question raised {error!r}"
        now = time.monotonic()
        assert now < deadline, f"after {seconds:.0f} s: {what}{unanswered}"
        time.sleep(min(max(OFTEN, 3 * (now - began)), SELDOM) if pause is None else pause)


OFTEN, SELDOM = 0.02, 1.0
"""s between two questions, at least and at most."""


class Running:
    """A worker in a thread; leaving the block stops it cleanly. `errors` is what ended its namespaces, `waits` those that wait."""

    def __init__(self, app: App, config: Config, address: str, namespaces: Sequence[str] = ()) -> None:
        self._faust: FaustApp = worker(app, config, address, namespaces, runtime())
        self.errors: list[BaseException] = []
        self._crash: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)  # if it goes on, the tests end all the same

    def _run(self) -> None:
        try:
            self.errors = run(self._faust, stop=self._stop)
        except BaseException as error:  # noqa: BLE001 - the thread of the test raises it
            self._crash = error

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            until(lambda: self.ready or self.waits or self.ended(), "the worker is not ready")
        except BaseException as failure:
            self._end(failure)
            raise
        return self

    @property
    def ready(self) -> bool:
        return all(runner.ready.is_set() for runner in self._faust.runners.values())

    @property
    def waits(self) -> set[str]:
        """The namespaces that wait until their rows are built."""
        return {name for name, runner in self._faust.runners.items() if runner.waits is not None}

    @property
    def metrics_url(self) -> str:
        """Where it shows its metrics."""
        assert self._faust.metrics is not None, "the setting worker_metrics_port is not set"
        return self._faust.metrics.url

    def rows(self, namespace: str) -> dict[str, object]:
        """What the Faust table of this worker shows."""
        return dict(self._faust.faust.tables[namespace].data)

    def counted(self, namespace: str, name: str) -> int:
        """One of the counters, over the partitions that this worker holds."""
        return sum(getattr(image.counters, name) for image in self._images(namespace).values())

    def left(self, namespace: str) -> int:
        """How many calls wait whose bodies are in their topic alone."""
        kept = [image.calls.get(it) for image in self._images(namespace).values() for it in list(image.calls)]
        return sum(isinstance(it, CallReference) for it in kept)

    def held(self, namespace: str) -> list[int]:
        """The partitions that this worker holds and has restored."""
        return sorted(self._images(namespace))

    def read(self, namespace: str) -> dict[int, int]:
        """How many offsets the last restore of each partition had to read."""
        return {task.partition: task.progress.total for task in self._tasks(namespace).all()}

    def blocked(self, namespace: str) -> dict[int, BlockingRecord]:
        """The partitions that are blocked, at which record, and why."""
        tasks = self._tasks(namespace).in_state(TaskState.BLOCKED)
        return {
            at.partition: BlockingRecord(it.offset, at.status.why, at.status.cause)
            for at in tasks
            if (it := at.command_search) is not None
        }

    def looked_ahead(self, namespace: str) -> dict[int, int]:
        """To which offsets the inbox was searched for operator commands, behind the records that block partitions."""
        return {it.partition: it.command_search.next_offset for it in self._tasks(namespace).all() if it.command_search is not None}

    def _images(self, namespace: str) -> Mapping[int, Image]:
        return self._tasks(namespace).images()

    def _tasks(self, namespace: str) -> Tasks:
        """The one place where tests look into a worker."""
        return self._faust.runners[namespace].cycle.tasks

    def stop(self) -> None:
        self._end(None)

    @property
    def told_to_stop(self) -> bool:
        return self._stop.is_set()

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _end(self, failure: BaseException | None) -> None:
        self._stop.set()
        see_ended(self._thread, "the worker", failure)
        if failure is None and self._crash is not None:
            raise self._crash
        for error in (*self.errors, self._crash):
            if failure is not None and error is not None:
                failure.add_note(f"and the worker had ended: {error!r}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(error)
