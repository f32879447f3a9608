"""The event loop of gateways, in a thread beside: one that blocks it holds up no polling and loses no membership."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

log = structlog.get_logger("retold.worker")

SPARE = 4
STOP_TIMEOUT = 1.0
"""s that a stop waits for gateways to let themselves be cancelled."""


class GatewayLoop:
    """Of one worker process; it starts when it is first asked for. `threads` are for `asyncio.to_thread`."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def get(self) -> asyncio.AbstractEventLoop:
        """From any thread."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(ThreadPoolExecutor(SPARE + self._threads, "retold-call"))
                self._thread = threading.Thread(target=self._run, args=[self._loop], name="retold-gateways", daemon=True)
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        """Cancel what is still called. A gateway that does not let itself be cancelled is not waited for."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(STOP_TIMEOUT)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until `stop`, whatever gateways do: every namespace's calls need this loop."""
        asyncio.set_event_loop(loop)
        try:
            while not self._stopped:
                try:
                    loop.run_forever()
                except BaseException as error:  # asyncio ends its loop for SystemExit and KeyboardInterrupt
                    log.error(
                        "what a gateway began in the background has raised; other calls go on",
                        error=type(error).__name__,
                        exc_info=error,
                    )
        finally:
            for task in (tasks := asyncio.all_tasks(loop)):
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_TIMEOUT / 2))
            loop.close()
