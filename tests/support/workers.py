"""Workers in this process, for tests against a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streams import App
from streams.config import Config, load
from streams.engine.image import Image
from streams.worker.assemble import worker
from streams.worker.faust_app import FaustApp
from streams.worker.run import run
from streams.worker.task import TaskState
from streams.worker.tasks import Tasks


def settings(state: Path, prefix: str, **others: str) -> Config:
    """The defaults with two partitions, under a prefix of the test's own."""
    variables = {
        "RETOLD_PREFIX": prefix,
        "RETOLD_STATE": str(state),
        "RETOLD_PARTITIONS": "2",
        "RETOLD_INSTANCE": "test",
    }
    return load({**variables, **{f"RETOLD_{name.upper()}": value for name, value in others.items()}}, start=state)


def until(condition: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    """Wait for `condition`, asked 50 times a second, or fail saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {what}"
        time.sleep(0.02)


class Running:
    """A worker in a thread; leaving the block stops it cleanly."""

    def __init__(self, app: App, config: Config, address: str, namespaces: Sequence[str] = ()) -> None:
        self.faust: FaustApp = worker(app, config, address, namespaces)
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.errors = run(self.faust, stop=self._stop)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.ready or not self._thread.is_alive(), "the worker is not ready")
        return self

    @property
    def ready(self) -> bool:
        return all(runner.ready.is_set() for runner in self.faust.runners.values())

    def rows(self, namespace: str) -> dict[str, object]:
        """What the Faust table of this worker shows."""
        return dict(self.faust.faust.tables[namespace].data)

    def images(self, namespace: str) -> dict[int, Image]:
        """Of the partitions that this worker has restored."""
        return self._tasks(namespace).images()

    def blocked(self, namespace: str) -> dict[int, tuple[int, str]]:
        """By partition, the inbox offset that it waits at, and why."""
        tasks = self._tasks(namespace).in_state(TaskState.BLOCKED)
        return {task.partition: (task.blocked.offset, task.status.why) for task in tasks if task.blocked is not None}

    def looked(self, namespace: str) -> dict[int, int]:
        """By blocked partition, the inbox offset up to which orders were looked for."""
        tasks = self._tasks(namespace).all()
        return {task.partition: task.blocked.looked for task in tasks if task.blocked is not None}

    def _tasks(self, namespace: str) -> Tasks:
        return self.faust.runners[namespace].cycle.tasks

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the worker did not stop within 30 s"

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
