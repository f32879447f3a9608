"""Threads of a real worker. They keep no process alive: librdkafka may hold one for as long as a broker is away."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from streams.errors import PartitionLost
from streams.kafka.fresh import Cancelled
from streams.kafka.steps import Steps, run

T = TypeVar("T")
Task = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads:
    """As an executor of `count` threads that are daemons; they start with the first task."""

    def __init__(self, name: str, count: int = 1) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        self._started = False

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """In the order of submission. Used by one thread, or first by one and later by others."""
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        future: Future[T] = Future()
        self._tasks.put((future, function))
        return future

    def stop(self) -> None:
        """They end after what was submitted before."""
        for _ in self._threads:
            self._tasks.put(None)

    def join(self) -> None:
        """After `stop`."""
        if self._started:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
                future.set_exception(error)


class ThreadJob(Generic[T]):
    """Its steps go on in one thread, which waits between them, until it is cancelled."""

    def __init__(self, work: Callable[[Cancelled], Steps[T]]) -> None:
        self._work, self._cancelled = work, threading.Event()
        self.future: Future[T]

    def run(self) -> T:
        return run(self._work(self._cancelled.is_set), self._pause)

    def done(self) -> bool:
        return self.future.done()

    def value(self) -> T:
        return self.future.result(0)

    def cancel(self) -> None:
        self._cancelled.set()

    def _pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise PartitionLost("given up while it waited")


class ThreadBackground:
    """Jobs in threads beside."""

    def __init__(self, name: str, count: int) -> None:
        self._threads = DaemonThreads(name, count)

    def start(self, work: Callable[[Cancelled], Steps[T]]) -> ThreadJob[T]:
        job = ThreadJob(work)
        job.future = self._threads.submit(job.run)
        return job

    def close(self, *, wait: bool) -> None:
        self._threads.stop()
        if wait:
            self._threads.join()
