"""Work that waits for answers, such as a command's, in a thread that goes on by one request at a time.

Either it or the one who steps it runs, never both: so a run stays what its seed decides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.simulator.unruly import Crash


class SteppedThread:
    """`work` calls `wait_for_turn` before each of its requests. It begins with the first `step`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._turn, self._over = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._over.acquire()
        self._left = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._killed = False
        self._raised: BaseException | None = None
        self.done = False

    def step(self, requests: int = 1) -> None:
        """So many requests, and up to the next one, or to its end. Raises what its work raised."""
        if self.done:
            return
        self._left = requests
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._over.acquire()
        if self.done:
            self._thread.join()
        if self._raised is not None:
            raise self._raised

    def kill(self) -> None:
        """As by `kill -9`: none of its requests is made any more."""
        self._killed = True
        if self._thread.ident is not None and not self.done:
            self.step(0)

    def wait_for_turn(self) -> None:
        """Called by its work. Raises Crash if it was killed."""
        if not self._killed and self._left == 0:
            self._over.release()
            self._turn.acquire()
        if self._killed:
            raise Crash
        self._left -= 1

    def pause(self) -> None:
        """Called by its work: this is the last request for now."""
        self._left = 0

    def _run(self) -> None:
        try:
            self._work()
        except Crash:  # the process has ended
            self._killed = True
        except BaseException as error:  # noqa: BLE001 - whoever steps it raises it
            self._raised = error
        self.done = True
        self._over.release()
