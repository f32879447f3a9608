"""A correction that a server applies in a thread of its own, while it answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from streams.engine.readable import harmless
from streams.errors import HistoryError, StalePlan, StreamsError, without_frames

log = logging.getLogger("retold.server")
ENDING = 10.0
"""s that a server which stops waits for its coordinator to say that it is not at work any more."""


class CorrectionAttempt:
    """`begun`: it is at work, or was. `over`: it is no more; `error` says why if it has not come to its end.

    `calls` says what it does about calls of gateways that are wrong by then; None: as when the correction was begun.
    """

    def __init__(self, correction: str, calls: str | None) -> None:
        self.correction, self.calls = correction, calls
        self.begun = self.over = False
        self.error: StreamsError | None = None


class CorrectionAttempts:
    """Of one server, one at a time. `changed` is called whenever an attempt goes on, from its thread. Used by several threads."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed, self._turn = changed, threading.Lock()
        self._thread: threading.Thread | None = None
        self._last: CorrectionAttempt | None = None

    def of(self, correction: str) -> CorrectionAttempt | None:
        """The last one, if it is of this correction."""
        last = self._last
        return last if last is not None and last.correction == correction else None

    def begin(
        self, correction: str, calls: str | None, apply: Callable[[Callable[[], None]], object]
    ) -> CorrectionAttempt:
        """Run `apply`, which calls what it is given once it is at work. One of the same correction that runs goes on instead.

        Raises StalePlan while another one runs, or this one does otherwise about `calls`.
        """
        with self._turn:
            last = self._last
            if last is not None and not last.over:
                if last.correction != correction:
                    raise StalePlan(f"this server applies the correction {last.correction}: let it end, then apply this plan again")
                if calls not in (None, last.calls):
                    raise StalePlan(
                        f"this server applies it already, and does with wrong calls {_said(last.calls)}: let it end, then apply it "
                        f"again with {calls!r}"
                    )
                return last
            attempt = CorrectionAttempt(correction, calls)
            thread = threading.Thread(target=self._run, args=(attempt, apply), name="correct", daemon=True)
            thread.start()  # where the system gives no more threads, nothing has begun
            self._thread, self._last = thread, attempt
            return attempt

    def end(self) -> None:
        """Wait for the one that runs, which is told by its own process that it stops."""
        thread = self._thread
        if thread is not None:
            thread.join(ENDING)

    def _run(self, attempt: CorrectionAttempt, apply: Callable[[Callable[[], None]], object]) -> None:
        def begun() -> None:
            attempt.begun = True
            self._changed()

        try:
            apply(begun)
            log.info("the correction %s is applied", attempt.correction)
        except StreamsError as error:
            attempt.error = without_frames(error)  # its frames have the coordinator, with all that it has decided
            log.warning("the correction %s is not applied to its end: %s", attempt.correction, harmless(str(error)))
        except Exception:
            attempt.error = HistoryError("this is a fault of the server's own; its log says more")
            log.exception("a fault of retold's own, in the correction %s", attempt.correction)
        finally:
            attempt.over = True
            self._changed()


def _said(calls: str | None) -> str:
    return "as when it was begun" if calls is None else f"as {calls!r} says"
