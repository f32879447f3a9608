"""A thread that ends transactions beside the one that follows, which prepares the next one meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class CommitThread:
    """Does one piece of work at a time. Used by one thread, which does not touch what the work does until it is joined."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="retold-store")
        self._work: Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there is work whose end nobody has seen yet."""
        return self._work is not None

    def start(self, work: Callable[[], None]) -> None:
        """Of what was started before, the end has been seen."""
        self._work = self._executor.submit(work)

    def join(self) -> None:
        """Wait for its end. Raises what it raised."""
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def close(self) -> None:
        """Wait for its end, however it ends, and end the thread."""
        self._executor.shutdown()
        self._work = None
