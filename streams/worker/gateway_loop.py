"""The event loop of gateways, in a thread of its own: a gateway that blocks it delays no polling and costs no group membership."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

log = structlog.get_logger("retold.worker")

SPARE = 4
STOP_TIMEOUT = 1.0
"""s that a stop waits for cancelled gateways."""


class GatewayLoop:
    """The loop of one worker process; `get` starts it. `threads` are for `asyncio.to_thread`."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop. From any thread."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(ThreadPoolExecutor(SPARE + self._threads, "retold-call"))
                self._thread = threading.Thread(target=self._run, args=[self._loop], name="retold-gateways", daemon=True)
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        """Cancel calls in flight. A gateway that does not end when it is cancelled is not waited for."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(STOP_TIMEOUT)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run until `stop`, whatever gateways raise: every namespace's calls need this loop."""
        asyncio.set_event_loop(loop)
        try:
            while not self._stopped:
                try:
                    loop.run_forever()
                except BaseException as error:  # asyncio stops its loop for SystemExit and KeyboardInterrupt
                    log.error(
                        "background task of a gateway raised; other calls continue",
                        error=type(error).__name__,
                        exc_info=error,
                    )
        finally:
            for task in (tasks := asyncio.all_tasks(loop)):
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_TIMEOUT / 2))
            loop.close()
