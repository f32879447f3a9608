"""Threads of a real worker. They are daemons: librdkafka may block one for as long as a broker is unavailable."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice, takewhile
from types import CodeType
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from confluent_kafka import KafkaException

from streams.engine.readable import location
from streams.errors import StreamsError
from streams.kafka.cancellable_steps import Cancelled, Steps, raise_if_cancelled

log = structlog.get_logger("retold.worker")

T = TypeVar("T")
Call = tuple[Future[Any], Callable[[], Any]]


def this_thread() -> int:
    return threading.get_ident()


FRAMES = 60
"""Innermost frames of a stack that are shown: those of a recursion without end are millions, and reading them never ends."""


class Stack(NamedTuple):
    """Where a thread is: `where` is the file and line of the handler, `lines` are as in a traceback."""

    where: str
    lines: str


def stack_of(thread: int, caller: CodeType) -> Stack:
    """Where a thread is in the handler that `caller` has called; if that is not to be seen, in whatever it does."""
    frame = sys._current_frames().get(thread)
    innermost = [] if frame is None else list(islice(traceback.walk_stack(frame), FRAMES))
    own = list(takewhile(lambda it: it[0].f_code is not caller, innermost))
    if not innermost:
        return Stack("", "")
    called = own and len(own) < len(innermost)
    first, line = own[-1] if called else innermost[0]
    where = location(str(first.f_globals.get("__name__", "")), first.f_code.co_filename, line)
    shown = reversed(own if called else innermost)
    return Stack(where, "".join(traceback.StackSummary.extract(shown).format()))


class DaemonThread:
    """An executor with one daemon thread."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run functions in the order of submission. From any thread."""
        future: Future[T] = Future()
        self._calls.put((future, function))
        return future

    def stop(self) -> None:
        """End the thread after what was submitted before."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - the future passes it on
                future.set_exception(error)
            del future, function, call  # a waiting thread keeps no references


class ThreadJob(Generic[T]):
    """Its steps run in one thread at a time; `ready` is when the next one may, by the monotonic clock."""

    def __init__(self, work: Callable[[Cancelled], Steps[T]], wake: Callable[[], None]) -> None:
        self._cancelled, self._wake = threading.Event(), wake
        self._steps: Steps[T] | None = work(self._cancelled.is_set)
        self._future: Future[T] = Future()
        self.ready = 0.0

    def go_on(self) -> float | None:
        """Run steps until one yields a pause; returns its length in s, or None when the job is done."""
        assert self._steps is not None, "a job that is done does not go on"
        try:
            while True:
                raise_if_cancelled(self._cancelled.is_set)
                if pause := next(self._steps):
                    return pause
        except StopIteration as end:
            self._future.set_result(end.value)
        except BaseException as error:  # noqa: BLE001 - `value` raises it
            self._close_steps(self._steps)
            if isinstance(error, StreamsError | KafkaException):  # the message is enough; a traceback would keep objects alive
                error = error.with_traceback(None)
            self._future.set_exception(error)
        self._steps = None
        return None

    @staticmethod
    def _close_steps(steps: Steps[T]) -> None:
        """Of a job that is cancelled. Its client may refuse to be closed, which is no reason to end the thread of all jobs."""
        try:
            steps.close()
        except Exception as error:
            log.warning("a job that was cancelled could not be closed", exc_info=error)

    def is_due(self, now: float) -> bool:
        return self.ready <= now or self._cancelled.is_set()

    def done(self) -> bool:
        return self._future.done()

    def value(self) -> T:
        return self._future.result(0)

    def cancel(self) -> None:
        self._cancelled.set()
        self._wake()


class ThreadBackground:
    """Runs jobs in `count` threads. A job that pauses leaves its thread to the next.

    Of the threads that have nothing to do, one waits for the end of the next pause, and the others until they are needed: jobs
    look for something ten times a second, and would wake all of them. A worker of three idle namespaces took half of its CPU
    for that.
    """

    def __init__(self, name: str, count: int) -> None:
        self._waiting: list[ThreadJob[Any]] = []
        self._watched: float | None = None
        """The end of the pause that a thread waits for, by the monotonic clock."""
        self._changed = threading.Condition()
        self._closed = self._started = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self, work: Callable[[Cancelled], Steps[T]]) -> ThreadJob[T]:
        job = ThreadJob(work, self._wake)
        with self._changed:
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            self._waiting.append(job)
            self._changed.notify()
        return job

    def close(self, *, wait: bool) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if wait and self._started:
            for thread in self._threads:
                thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            pause = job.go_on()
            if pause is not None:
                job.ready = time.monotonic() + pause
                with self._changed:
                    self._waiting.append(job)
            del job  # a waiting thread keeps no references

    def _next(self) -> ThreadJob[Any] | None:
        """The first job that is due; None once this is closed and no jobs are left."""
        with self._changed:
            while True:
                now = time.monotonic()
                for number, job in enumerate(self._waiting):
                    if job.is_due(now):
                        del self._waiting[number]
                        if self._waiting:
                            self._changed.notify()  # somebody else is to look after the rest
                        return job
                if self._closed and not self._waiting:
                    self._changed.notify_all()
                    return None
                self._wait(now)

    def _wait(self, now: float) -> None:
        """Until something has changed, or a pause has ended that nobody waits for yet."""
        nearest = min((job.ready for job in self._waiting), default=None)
        if nearest is None or (self._watched is not None and self._watched <= nearest):
            self._changed.wait()
            return
        self._watched = nearest
        self._changed.wait(max(0.0, nearest - now))
        if self._watched == nearest:
            self._watched = None
