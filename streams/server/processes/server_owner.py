"""The process that owns a server's HTTP processes: it tells them what the follower tells, and keeps what they must agree on."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from streams.server.asking.frames import read_frame, send_frame
from streams.server.processes.key_register import KeyRegister
from streams.server.processes.link_messages import (
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
)
from streams.server.processes.reported_state import ReportedState
from streams.server.processes.summed_figures import Family, counted, summed
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import BEAT

log = logging.getLogger("retold.server")
ANSWERS: Final = 2.0
"""s in which a process tells its metrics; else those that it told last are taken."""
WAITING: Final = 10_000
"""Messages that a process has not taken. One that is stopped is told all at once when it goes on."""


class ServerOwner:
    """What a FollowerProcess tells (`take`, `fault`) goes to all processes. Used by several threads; it serves no requests."""

    def __init__(self) -> None:
        self._turn, self._state, self._keys = threading.RLock(), ReportedState(), KeyRegister()
        self._links: set[_Link] = set()
        self._gone: list[Family] = []
        self._beaten = time.monotonic()

    @property
    def waits(self) -> str | None:
        """Why nothing can be answered yet."""
        return self._state.waits

    def new_process(self) -> socket.socket:
        """The end of a new link, which a process that is started now is to inherit. To be closed here once it has."""
        ours, theirs = socket.socketpair()
        link = _Link(ours)
        with self._turn:
            self._links.add(link)
            link.send(Reported(self._state.whole()))
        link.start(partial(self._listen, link))
        return theirs

    def take(self, report: FollowerReport) -> None:
        with self._turn:
            self._state.take(report)
            for link in self._links:
                if link.waiting > WAITING:
                    link.forget()
                    link.send(Reported(self._state.whole()))
                else:
                    link.send(Reported(report))

    def beat(self) -> None:
        """This process goes on, whatever the follower does: to be called now and then, by one thread."""
        if (now := time.monotonic()) - self._beaten >= BEAT:
            self._beaten = now
            self.take(FollowerReport())

    def fault(self, what: str, why: str) -> None:
        """Something is wrong with the follower itself."""
        with self._turn:
            report = self._state.fault(what, why)
            for link in self._links:
                link.send(Reported(report))

    def end(self) -> None:
        with self._turn:
            links = [*self._links]
        for link in links:
            link.close()

    def _listen(self, link: _Link) -> None:
        """Until the process ends, or sends what is no message."""
        try:
            for message in link.messages():
                self._heard(link, message)
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            log.debug("a process of the server is not listened to any more: %s", error)
        finally:
            link.close()
            with self._turn:
                self._links.discard(link)
                self._gone = summed([self._gone, counted(link.figures)])
                self._keys.leave(link)

    def _heard(self, link: _Link, message: ToOwner) -> None:
        match message:
            case Claim():

                def answer(verdict: str | DeliveredEvent) -> None:
                    link.send(Claimed(message.number, verdict))

                with self._turn:
                    self._keys.claim(message.id, message.digest, link, answer)
            case Settled():
                with self._turn:
                    self._keys.settle(message.id, link, message.event)
            case OwnFigures():
                link.tell_figures(message)
            case Scrape():
                link.figures = message.families
                threading.Thread(target=self._scrape, args=(link, message.number), daemon=True).start()

    def _scrape(self, asking: _Link, number: int) -> None:
        """So nothing else waits for a process that does not answer."""
        with self._turn:
            others = [it for it in self._links if it is not asking]
        asked = [(it, it.ask_figures()) for it in others]
        deadline = time.monotonic() + ANSWERS
        answered = {asking} | {it for it, told in asked if told.wait(max(0.0, deadline - time.monotonic()))}
        with self._turn:  # what one that ended meanwhile has told is in what is gone
            there = {asking, *self._links}
            found = [it.figures if it in answered else counted(it.figures) for it in there]
            found.append(self._gone)
        asking.send(Scraped(number, summed(found)))


class _Link:
    """One process. `figures` are those that it told last."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket, self.figures = ours, list[Family]()
        self._queue = SimpleQueue[ToProcess | None]()
        self._numbers, self._asked = itertools.count(), dict[int, threading.Event]()

    def start(self, listen: Callable[[], None]) -> None:
        threading.Thread(target=listen, name="process", daemon=True).start()
        threading.Thread(target=self._write, name="to process", daemon=True).start()

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def send(self, message: ToProcess) -> None:
        """Never waits."""
        self._queue.put(message)

    def forget(self) -> None:
        """What the follower has told, and was not taken. All else is kept."""
        kept = list[ToProcess | None]()
        with suppress(Empty):  # not asked beforehand: the thread that writes may take the last one in between
            while True:
                message = self._queue.get_nowait()
                if not isinstance(message, Reported):
                    kept.append(message)
        for message in kept:
            self._queue.put(message)

    def messages(self) -> Iterator[ToOwner]:
        """Until its process ends. Raises OSError, EOFError and MsgspecError."""
        decoder: msgspec.msgpack.Decoder[ToOwner] = msgspec.msgpack.Decoder(ToOwner)
        while (frame := read_frame(self._socket)) is not None:
            yield decoder.decode(frame)

    def ask_figures(self) -> threading.Event:
        """Set once it has told them."""
        number, told = next(self._numbers), threading.Event()
        self._asked[number] = told
        self.send(FiguresWanted(number))
        return told

    def tell_figures(self, told: OwnFigures) -> None:
        self.figures = told.families
        if (asked := self._asked.pop(told.number, None)) is not None:
            asked.set()

    def close(self) -> None:
        """Its process reads the end.

        The socket is shut down before the thread that writes is told to close it: one that is read in another thread
        stays open until that read returns, so neither end would ever hear of it.
        """
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._queue.put(None)

    def _write(self) -> None:
        with self._socket, suppress(OSError):
            while (message := self._queue.get()) is not None:
                send_frame(self._socket, msgspec.msgpack.encode(message))
