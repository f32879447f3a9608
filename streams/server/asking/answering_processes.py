"""Questions are answered in processes of their own: a thread that never returns cannot be ended, and a process can."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from streams.server.asking.frames import read_frame, send_frame
from streams.server.asking.process_forker import ForkerEnded, ProcessForker

IDLE: Final = 4
"""Processes that are kept for the next question; more are ended."""
IDLE_SECONDS: Final = 60.0
"""After which a process that is asked nothing ends: it holds memory, and the file that it read last."""
LOGGER: Final = "retold"
SAID, ANSWERED, LAST, LEFT = b"s", b"a", b"z", b"l"
"""What the first byte of a message from a process says of the rest: it was logged, or is the answer, or the last one that it is to
give, since it has threads or processes of its own by now; or it ends, asked nothing."""

Answer = Callable[[bytes], bytes]
"""Answers a question; what it raises ends its process."""


class AnswerTooSlow(Exception):
    """The process did not answer in time, and was ended."""


class AnswerLost(Exception):
    """The process ended while it answered; `how` says by what."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class ProcessLeft(Exception):
    """The process had ended since it was asked nothing, just when it was asked."""


class Process(NamedTuple):
    pid: int
    socket: socket.socket


class AnsweringProcesses:
    """Used by any thread; each question has a process to itself. To be made before other threads are started."""

    def __init__(self, answer: Answer) -> None:
        self._forker = ProcessForker(lambda its: _serve(its, answer))
        self._turn, self._idle, self._ended = threading.Lock(), list[Process](), False

    def ask(self, question: bytes, seconds: float) -> bytes:
        """Blocks for so long at most. Raises AnswerTooSlow, AnswerLost, OSError if no process can be started, and ForkerEnded."""
        deadline = time.monotonic() + seconds
        for _ in range(IDLE + 2):  # all that were idle may have left
            with suppress(ProcessLeft):
                return self._ask(self._take(), question, deadline)
        raise AnswerLost("ended before it was asked")

    def _ask(self, process: Process, question: bytes, deadline: float) -> bytes:
        try:
            kind, found = _asked(process.socket, question, deadline)
        except TimeoutError as error:
            self._drop(process)
            raise AnswerTooSlow from error
        except (OSError, EOFError) as error:
            raise AnswerLost(_how(self._drop(process))) from error
        except BaseException:
            self._drop(process)
            raise
        if kind == ANSWERED:
            self._put_back(process)
        else:
            self._drop(process)
        return found

    def end(self) -> None:
        """End all processes; who still waits for an answer hears that it is lost."""
        with self._turn:
            self._ended = True
            idle, self._idle = self._idle, []
        for it in idle:
            it.socket.close()
        self._forker.close()

    def _take(self) -> Process:
        """The one that answered last: what it has in memory is the newest."""
        while True:
            with self._turn:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return Process(*self._forker.start())
            if _is_there(process.socket):
                return process
            self._drop(process)

    def _put_back(self, process: Process) -> None:
        with self._turn:
            if kept := not self._ended and len(self._idle) < IDLE:
                self._idle.append(process)
        if not kept:
            self._drop(process)

    def _drop(self, process: Process) -> int:
        """How it ended, as `ProcessForker.end` says it."""
        process.socket.close()
        try:
            return self._forker.end(process.pid)
        except ForkerEnded:  # and with it, all of them
            return -signal.SIGKILL


def _is_there(its: socket.socket) -> bool:
    """Whether it waits for a question. It says nothing unasked."""
    its.setblocking(False)
    try:
        its.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _asked(its: socket.socket, question: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Whether it is the last one, and the answer."""
    its.settimeout(max(deadline - time.monotonic(), 0.000_001))
    try:
        send_frame(its, question)
    except BrokenPipeError as error:
        raise ProcessLeft from error
    while (message := read_frame(its, deadline)) is not None:
        if message[:1] in (ANSWERED, LAST):
            return message[:1], message[1:]
        if message == LEFT:
            raise ProcessLeft
        level, name, text = msgspec.msgpack.decode(message[1:], type=tuple[int, str, str])
        logging.getLogger(name).log(level, "%s", text)
    raise EOFError


def _how(code: int) -> str:
    """In words."""
    if code >= 0:
        return f"ended with the exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by the signal {-code}"


def _serve(its: socket.socket, answer: Answer) -> None:
    """In the process."""
    root, told = logging.getLogger(LOGGER), _Said(its)
    root.handlers[:], root.propagate = [told], False
    own = os.getpid()
    while (question := _next(its, told)) is not None:
        content = answer(question)
        if os.getpid() != own:  # a view has forked, and this is the copy: what it said would be the answer to the next question
            return
        alone = threading.active_count() == 1 and not _has_children()  # nothing else would end what was left behind
        told.send((ANSWERED if alone else LAST) + content)


def _has_children() -> bool:
    """Whether processes that this one has started go on."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _next(its: socket.socket, told: _Said) -> bytes | None:
    """None: nothing more is to be answered."""
    its.settimeout(IDLE_SECONDS)
    try:
        first = its.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        with suppress(OSError):
            told.send(LEFT)
        return None
    its.settimeout(None)
    return read_frame(its) if first else None


class _Said(logging.Handler):
    """What is logged, for the server, whose log it is; and the answers."""

    def __init__(self, its: socket.socket) -> None:
        super().__init__()
        self._its, self._sending = its, threading.Lock()

    def send(self, content: bytes) -> None:
        with self._sending:  # a view may have left a thread behind that logs meanwhile
            send_frame(self._its, content)

    def emit(self, record: logging.LogRecord) -> None:
        self.send(SAID + msgspec.msgpack.encode((record.levelno, record.name, self.format(record))))
