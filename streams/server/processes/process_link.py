"""The link of an HTTP process to the one that owns it and its siblings."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from streams.errors import BrokerError
from streams.receipt import Receipt
from streams.server.asking.frames import read_frame, send_frame
from streams.server.http.confirming import Tells
from streams.server.http.idempotency import KeyHeld, OtherRequest
from streams.server.processes.link_messages import (
    YOURS,
    Claim,
    Claimed,
    DeliveredEvent,
    FiguresWanted,
    OwnFigures,
    Reported,
    Scrape,
    Scraped,
    Settled,
    ToOwner,
    ToProcess,
    delivered,
)
from streams.server.processes.summed_figures import Family
from streams.server.readmodel.watched_reports import FollowerListener, WatchedReports

CLAIMED_IN: Final = 12.0
"""s in which another process that publishes with the same key has told what became of it."""
BRIEFLY: Final = 0.1
"""s in which most of them have."""
LONG: Final = 20
"""Requests that may wait for longer: each holds one of the threads that publish."""
LAST: Final = 4.0
"""s in which open requests still hear of other processes when the server stops: less than they may take then."""
SCRAPED_IN: Final = 5.0
LOOKS: Final = 0.5


class ProcessLink:
    """Follows as a Follower does: what the follower tells comes by way of the owner. All other calls are for any thread."""

    def __init__(
        self, number: int, model: FollowerListener, ended: Callable[[str], object], claimed_in: float = CLAIMED_IN,
        scraped_in: float = SCRAPED_IN,
    ) -> None:  # fmt: skip
        """`number` is of the inherited socket. `ended` is called with the reason if this process cannot go on."""
        self._socket, self._ended = socket.socket(fileno=number), ended
        self._reports = WatchedReports(model, "the process that owns the HTTP processes")
        self._claimed_in, self._scraped_in = claimed_in, scraped_in
        self._writing, self._turn, self._numbers = threading.Lock(), threading.Lock(), itertools.count()
        self._claims = dict[int, tuple[str, SimpleQueue[str | DeliveredEvent | None] | None]]()
        """By number the id, and who waits; None: nobody does any more."""
        self._scrapes = dict[int, SimpleQueue[list[Family] | None]]()
        self._places, self._answered, self._is_over = threading.BoundedSemaphore(LONG), threading.Event(), False
        self.own_figures: Callable[[], list[Family]] = list
        """What is told of this process to another that is asked for metrics."""

    def run(self, stopped: threading.Event) -> None:
        """Until the owner ends it, or after `stopped`, and then until `end`, but not for long."""
        decoder = msgspec.msgpack.Decoder(ToProcess)
        threading.Thread(target=self._end_with, args=(stopped,), daemon=True).start()
        try:
            while (frame := read_frame(self._socket)) is not None:
                self._heard(decoder.decode(frame))
            why = "the process that owns this one has ended"
        except Exception as error:  # noqa: BLE001 - such as a file that is gone: whoever starts this process again tells it all
            what = str(error) or "its file is not there"
            why = f"the read model cannot be read ({what})"
        self._hear_no_more()
        if not stopped.is_set():
            self._ended(why)

    def end(self) -> None:
        """No request is open any more."""
        self._answered.set()

    def close(self) -> None:
        """Once it does not run any more."""
        self._socket.close()

    def _end_with(self, stopped: threading.Event) -> None:
        while not stopped.wait(LOOKS):
            self._reports.look()
        self._answered.wait(LAST)
        with suppress(OSError):  # its other end is gone
            self._socket.shutdown(socket.SHUT_RD)

    def _hear_no_more(self) -> None:
        """Whoever waits waits in vain."""
        with self._turn:
            self._is_over = True
            claims, scrapes = [*self._claims.values()], [*self._scrapes.values()]
        for _, asked in claims:
            if asked is not None:
                asked.put(None)
        for told in scrapes:
            told.put(None)

    def _heard(self, message: ToProcess) -> None:
        match message:
            case Reported():
                self._reports.take(message.report)
            case Claimed():
                self._verdict(message)
            case FiguresWanted():
                self._send(OwnFigures(message.number, self.own_figures()))
            case Scraped():
                if (scrape := self._scrapes.pop(message.number, None)) is not None:
                    scrape.put(message.families)

    def _verdict(self, told: Claimed) -> None:
        with self._turn:
            event_id, asked = self._claims.pop(told.number)
            if asked is not None:
                asked.put(told.verdict)
        if asked is None and told.verdict == YOURS:  # who asked does not wait any more
            self._send(Settled(event_id, None))

    def _claimed(self, event_id: str, digest: bytes) -> str | DeliveredEvent:
        """Raises KeyHeld if nothing is known in time, or too many wait, and BrokerError if nothing can be known."""
        number, asked = next(self._numbers), SimpleQueue[str | DeliveredEvent | None]()
        with self._turn:
            is_over = self._is_over
            self._claims[number] = event_id, asked
        if not is_over:
            self._send(Claim(number, event_id, digest))
        verdict = None if is_over else self._told(number, event_id, asked)
        if verdict is None:
            raise BrokerError("this process ends, and cannot ask who else uses this Idempotency-Key: repeat the request")
        return verdict

    def _told(
        self, number: int, event_id: str, asked: SimpleQueue[str | DeliveredEvent | None]
    ) -> str | DeliveredEvent | None:
        with suppress(Empty):
            return asked.get(timeout=BRIEFLY)
        if has_place := self._places.acquire(blocking=False):
            try:
                with suppress(Empty):
                    return asked.get(timeout=self._claimed_in - BRIEFLY)
            finally:
                self._places.release()
        with self._turn:
            if number in self._claims:
                self._claims[number] = event_id, None
                took = f"which has taken {self._claimed_in:g} s" if has_place else f"and {LONG} requests wait for such already"
                raise KeyHeld(f"another request with this Idempotency-Key is being published, {took}: repeat this one later")
        return asked.get_nowait()

    def first(self, publisher: Tells, event_id: str, digest: bytes, publish: Callable[[], Receipt]) -> Receipt:
        """The receipt of the first request with this id, at any process. Raises OtherRequest, BrokerError, or as `publish`."""
        verdict = self._claimed(event_id, digest)
        if isinstance(verdict, DeliveredEvent):
            return verdict.receipt()
        if verdict != YOURS:
            raise OtherRequest
        try:
            receipt = publish()
        except BaseException:
            self._send(Settled(event_id, None))
            raise
        publisher.when_told(receipt, lambda: self._send(Settled(event_id, delivered(receipt))))
        return receipt

    def all_figures(self) -> list[Family]:
        """The metrics of all processes. Raises BrokerError if nobody tells them: those of this one alone would be a fall."""
        number, told = next(self._numbers), SimpleQueue[list[Family] | None]()
        with self._turn:
            is_over = self._is_over
            self._scrapes[number] = told
        if not is_over:
            self._send(Scrape(number, self.own_figures()))
        with suppress(Empty):
            if (found := None if is_over else told.get(timeout=self._scraped_in)) is not None:
                return found
        self._scrapes.pop(number, None)
        raise BrokerError("the process that sums the metrics of this server does not answer: ask again")

    def _send(self, message: ToOwner) -> None:
        with self._writing, suppress(OSError):  # without an owner this process ends
            send_frame(self._socket, msgspec.msgpack.encode(message))
