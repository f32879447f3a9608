"""Who waits for a broker's confirmations: one thread asks the producer, and tells the others.

A poll of librdkafka's wakes every thread that polls, for whichever event: with 16 of them, each event woke 16 threads. A server
waits in its event loop and not in a thread for each request, so a thread of its own polls for all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from streams.receipt import Receipt

LONGEST, LOST = 0.01, 1.0
"""s until a thread looks again at the least, whatever it was told; and after which the turn to poll is nobody's."""
SERVED = 0.1
"""s of a poll of the thread that polls for others: it ends as soon as the broker has said something."""


class Confirmations:
    """`poll(seconds)` serves what the broker has confirmed by then, for all threads: `told` is called of each."""

    def __init__(self, poll: Callable[[float], object]) -> None:
        self._poll, self._turn, self._began = poll, threading.Lock(), 0.0
        self._waiting: dict[Receipt, threading.Event] = {}
        self._calls: dict[Receipt, tuple[Callable[[], object], ...]] = {}

    def serve(self, stop: threading.Event) -> None:
        """Poll for all others until `stop`."""
        while not stop.is_set():
            turn = self._turn
            if turn.acquire(timeout=LONGEST):
                try:
                    self._began = time.monotonic()
                    self._poll(SERVED)
                finally:
                    turn.release()

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        """Have `call` called in some thread once this receipt was told of, or here if it was.

        One thread at a time may ask of a receipt.
        """
        self._calls[receipt] = (*self._calls.get(receipt, ()), call)
        if is_told(receipt):  # perhaps before that was noted
            self._call(receipt)

    def wait(self, receipt: Receipt) -> None:
        """Wait for a moment: until this receipt was told of, or until it is this thread's turn to poll."""
        turn = self._turn
        if turn.acquire(blocking=False):
            try:
                self._began = time.monotonic()
                self._poll(LONGEST)
            finally:
                turn.release()
            if is_told(receipt):
                self._pass_on()
            return
        told = self._waiting[receipt] = threading.Event()
        try:
            if not is_told(receipt):
                told.wait(LONGEST)
        finally:
            self._waiting.pop(receipt, None)  # two requests with one Idempotency-Key wait for one receipt
        if time.monotonic() - self._began > LOST:  # somebody was interrupted between taking the turn and using it
            self._turn = threading.Lock()

    def told(self, receipt: Receipt) -> None:
        """The broker has confirmed it, or never will."""
        if (waiting := self._waiting.get(receipt)) is not None:
            waiting.set()
        self._call(receipt)

    def _call(self, receipt: Receipt) -> None:
        for call in self._calls.pop(receipt, ()):
            call()

    def _pass_on(self) -> None:
        """Nobody polls now; somebody who waits is to."""
        for waiting in [*self._waiting.values()][:1]:
            waiting.set()


def is_told(receipt: Receipt) -> bool:
    return receipt.delivered or receipt.error is not None
