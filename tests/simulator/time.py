"""Virtual time and background work of a simulated process: one thread, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from streams.errors import PartitionLost
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.runtime import Flag, Runtime

T = TypeVar("T")
EPOCH = 1_700_000_000.0


class VirtualClock:
    """Whoever waits lets time go by, and nobody else acts meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ahead = 0.0

    def now(self) -> int:
        return round((EPOCH + self.seconds + self._ahead) * 1e6)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time goes by."""
        self._ahead += seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def wait(self, futures: Collection[Future[Any]], seconds: float) -> bool:
        if all(future.done() for future in futures):
            return True
        self.sleep(seconds)
        return False


class SkewedClock(VirtualClock):
    """Of one machine: time goes by as everywhere, by `base`, and what it takes for the time of day may be another one."""

    def __init__(self, base: VirtualClock) -> None:
        super().__init__()
        self._base = base

    def now(self) -> int:
        return self._base.now() + round(self._ahead * 1e6)

    def monotonic(self) -> float:
        return self._base.seconds

    def sleep(self, seconds: float) -> None:
        self._base.seconds += seconds


class VirtualFlag:
    """As an Event of one thread: nobody sets it while it is waited for."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._set = clock, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float) -> bool:
        if not self._set:
            self._clock.sleep(timeout)
        return self._set


class StepJob(Generic[T]):
    """Goes on by one step at each `step`, once its pause is over."""

    def __init__(self, work: Callable[[Cancelled], Steps[T]], clock: VirtualClock) -> None:
        self._clock, self._cancelled, self._next = clock, False, 0.0
        self._over = False
        """As its future says, which would ask a lock for it at each step of each job."""
        self._steps = work(lambda: self._cancelled)
        self._future: Future[T] = Future()

    def done(self) -> bool:
        return self._over

    def value(self) -> T:
        return self._future.result(0)

    def cancel(self) -> None:
        self._cancelled = True

    def step(self) -> None:
        if self._over or (self._clock.monotonic() < self._next and not self._cancelled):
            return
        try:
            if self._cancelled:
                self._steps.close()
                raise PartitionLost("given up while it waited")
            self._next = self._clock.monotonic() + next(self._steps)
        except StopIteration as end:
            self._future.set_result(end.value)
            self._over = True
        except Exception as error:  # noqa: BLE001 - whoever asks for its value gets it
            self._future.set_exception(error)
            self._over = True


class StepBackground:
    """`step` lets each of its jobs go on by one."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.jobs: list[StepJob[Any]] = []

    def start(self, work: Callable[[Cancelled], Steps[T]]) -> StepJob[T]:
        job = StepJob(work, self._clock)
        self.jobs.append(job)
        return job

    def step(self) -> None:
        for job in self.jobs:
            job.step()
        self.jobs = [job for job in self.jobs if not job.done()]

    def close(self, *, wait: bool) -> None:
        while wait and self.jobs:
            self.step()


class Process:
    """Of one worker: its clock, and the background work that it was given."""

    def __init__(self, clock: VirtualClock, flag: Callable[[], Flag] | None = None) -> None:
        self.clock = clock
        self.backgrounds: list[StepBackground] = []
        self.runtime = Runtime(clock, flag or (lambda: VirtualFlag(clock)), self._background)

    def _background(self, _name: str, _count: int) -> StepBackground:
        self.backgrounds.append(StepBackground(self.clock))
        return self.backgrounds[-1]

    def step(self) -> None:
        for background in self.backgrounds:
            background.step()
