"""Runs a namespace's cycles in one thread; its Faust agent awaits them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.cycle import Cycle
from streams.worker.lasting_work import Beside, lasting
from streams.worker.polled_batch import PolledBatch
from streams.worker.runtime import Job, Runtime
from streams.worker.slots import Slot
from streams.worker.stop_watchdog import LONGEST, StopWatchdog
from streams.worker.threads import DaemonThread

BETWEEN_LOOKS = 1.0
"""s between two looks whether a namespace that an error ends has ended."""
TellEnd = Callable[[BaseException], None]
"""Reports what ended a namespace, to whoever reads its status."""


class NamespaceRunner:
    """What a cycle raises ends the namespace here, and not in Faust, which would restart its agent.

    `check_broker(seconds)` raises BrokerUnavailable. Background work (`beside`) is not waited for when the namespace ends.
    `tell_end` is bounded in time and raises nothing; it is also told why a namespace waited that is stopped.
    """

    def __init__(
        self,
        cycle: Cycle,
        slot: Slot,
        beside: Sequence[Beside],
        check_broker: Callable[[float], None],
        tell_end: TellEnd,
        runtime: Runtime,
    ) -> None:
        self.cycle, self._slot, self._works, self._tell_end = cycle, slot, beside, tell_end
        self.error: BaseException | None = None
        self.ready, self._ended = runtime.flag(), runtime.flag()
        self._batch_taken, self._batch_dropped = runtime.batch_taken, runtime.batch_dropped
        self._thread = DaemonThread(f"retold-{cycle.members.namespace}")
        self._beside = runtime.background(f"beside-{cycle.members.namespace}", len(beside) + 4)
        self._working: list[Job[None]] = []
        self._leaving = StopWatchdog(cycle.members.namespace, check_broker, cycle.members.last_calls)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def waits(self) -> BaseException | None:
        """Why it waits, out of its group, while it runs."""
        rows = self.cycle.members.rows
        return None if rows is None or not self.running else rows.error

    def start(self) -> None:
        self._thread.start()
        members = self.cycle.members
        works: list[Beside] = [
            *self._works, partial(members.attempts.watch, self.abandon), partial(members.group.watch, self.abandon),
        ]  # fmt: skip
        self._working = [self._beside.start(lasting(work, self.cycle.members.namespace)) for work in works]
        self._thread.submit(partial(self._run, self.cycle.open))

    async def poll(self) -> PolledBatch:
        """The next batch; an empty one is for the end only. Once the namespace has ended, it never returns."""
        batch = await asyncio.wrap_future(self._thread.submit(self._poll))
        if batch is None:
            await asyncio.Event().wait()
            raise AssertionError("the event is never set: the agent is cancelled when the worker stops")
        return batch

    async def handle(self, batch: PolledBatch) -> None:
        """Returns when the batch was committed, or will be read again, or has ended the namespace."""
        await asyncio.wrap_future(self._thread.submit(partial(self._run, partial(self._handle, batch))))

    def stop(self) -> None:
        """Stop after the current batch; `join` waits for it. May be called more than once."""
        if not self.cycle.stopping.is_set():
            self.cycle.stopping.set()
            self.cycle.tasks.give_up()
            self._beside.start(lambda _: self._leaving.watch(self._ended.is_set))
            self._thread.submit(self._finish)

    def abandon(self, error: BaseException) -> None:
        """End it from another thread, without its own, which is in a call that does not return: its process must end now."""
        if self._ended.is_set():
            return
        self.error = error
        for job in self._working:  # what one reports from now on would say that it goes on
            job.cancel()
        self._tell_end(error)
        self._ended.set()
        self._beside.close(wait=False)
        self._thread.stop()

    def join(self, timeout: float) -> bool:
        """Whether it has ended, or is no longer waited for (see StopWatchdog)."""
        return self._ended.wait(timeout) or self._leaving.given_up

    def _poll(self) -> PolledBatch | None:
        """What a poll without records leads to, such as a timer that is due, is done here, and is no batch for the agent.

        The way to it and back, ten times a second, took a sixth of the CPU of an idle worker.
        """
        batch: PolledBatch | None = None

        def poll() -> None:
            nonlocal batch
            batch = self.cycle.poll()
            if self.cycle.tasks.all_restored:
                self.ready.set()

        self._run(poll)
        while batch is not None and not batch and not self.cycle.stopping.is_set():
            self._run(partial(self._handle, batch))
            batch = None
            self._run(poll)
        return batch

    def _handle(self, batch: PolledBatch) -> None:
        members, count = self.cycle.members, len(batch)
        began = members.clock.monotonic()
        self._batch_taken()
        try:
            self.cycle.handle(batch)
        finally:
            batch.drop()
            self._batch_dropped()
        if count:
            members.meter.handled(members.clock.monotonic() - began)

    def _finish(self) -> None:
        self._run(self.cycle.finish)
        self._end()

    def _run(self, act: Callable[[], None]) -> None:
        if self._ended.is_set():
            return
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it ends this namespace; the worker tells why
            self.error = error
            self._beside.start(partial(self._bound_end, error))
            self._end()

    def _bound_end(self, error: BaseException, _cancelled: Cancelled) -> Steps[None]:
        """An end by an error: nobody stops this namespace, and a call of the client that does not return would hold it up."""
        for _ in range(round(LONGEST / BETWEEN_LOOKS)):
            yield BETWEEN_LOOKS
            if self._ended.is_set():
                return
        self.abandon(error)

    def _end(self) -> None:
        if self._ended.is_set():
            return
        for job in self._working:
            job.cancel()
        try:
            self.cycle.close()
        except BaseException as error:  # noqa: BLE001 - as above; what came first says more
            self.error = self.error or error
        finally:
            if (why := self.error or self.waits) is not None:  # nobody waits any more: it goes on by itself no longer
                self._tell_end(why)
            self._slot.release()
            self._ended.set()
            self._beside.close(wait=False)
            self._thread.stop()
