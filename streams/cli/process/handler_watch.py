"""Ends a command that asks the past when a handler of this folder does not return, and names its event."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streams.engine.readable import named
from streams.errors import HistoryError
from streams.event import Event
from streams.history.code.application_handlers import ApplicationHandlers

SECONDS, LOOKS = 60.0, 1.0
"""Until a handler that has not returned is named, and from one look to the next."""


@contextmanager
def handlers_return(handlers: ApplicationHandlers, seconds: float = SECONDS, looks: float = LOOKS) -> Iterator[None]:
    """To be used by the main thread, which is interrupted. Raises HistoryError if a handler has not returned for so long.

    The signal is not that of Ctrl-C, which a shell has ignored by what it starts with `&`.
    """
    ended, hung = threading.Event(), list[Event[Any]]()
    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def watch() -> None:
        last, since = None, time.monotonic()
        while not ended.wait(looks):
            if (now := handlers.now.event) is not last:
                last, since = now, time.monotonic()
            elif now is not None and time.monotonic() - since >= seconds:
                hung.append(now)
                signal.pthread_kill(main, signal.SIGALRM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not hung:
            raise
        it = hung[0]
        raise HistoryError(
            f"the handler of {it.data.event_type} has not returned for {seconds:g} s, for {named(it.key)} (id {named(it.id)}): "
            "correct it, or give it what it waits for"
        ) from None
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGALRM, before)
