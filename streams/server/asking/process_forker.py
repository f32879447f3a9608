"""A process that forks others, and ends them: it has one thread and runs nothing of the application's, so it never hangs.

The server has many threads, and what forks while others hold locks may find them held for ever. So this one is forked before there
are any. It shares the memory of what was imported by then, and a process that it forks is ready in milliseconds.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

Serve = Callable[[socket.socket], None]
"""Answers what comes from a socket until its end, in a process of its own."""
COMMAND: Final = struct.Struct("!ci")
"""What is to be done, and the process that it is done to."""
REPLY: Final = struct.Struct("!i")
FORK, END = b"f", b"e"
PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
FORKER, ANSWERS = b"retold-forker", b"retold-answers"
"""What `ps` and `top` call them, beside the command, which is that of the server."""
FIRST_TO_END: Final = "1000"
"""What has the system end it before all others when memory is short: a view may take more than there is in its time."""
CONTROL: Final = 3
"""The descriptor of the forker's own socket; behind it all are closed that it was forked with."""
DESCRIPTORS: Final = 1 << 20
"""More than a process has."""


BETWEEN_LOOKS: Final = 30.0
"""s after which the forker looks for what has ended, if it is told nothing."""
PATIENCE: Final = 15.0
"""s in which it answers. It is waited for twice: with the server, it may have been stopped for so long."""


class ForkerEnded(Exception):
    """It was ended by somebody else, or stopped and then ended here, so no process can be started any more."""


class ProcessForker:
    """The server's side, used by any thread. `serve` is called in each process.

    To be made before other threads are started, and before this process opens a file that is to be read there: what SQLite keeps of
    its locks would be copied, without the locks.

    When this process ends, however it does, the forker ends too, and before it all that it has forked.
    """

    def __init__(self, serve: Serve) -> None:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            _run(lambda: _fork_for(theirs, serve))
        theirs.close()
        self._control, self._turn = ours, threading.Lock()
        self.pid = pid
        self.close = weakref.finalize(self, _close, ours, pid)
        """End it, and all that it has forked."""

    def start(self) -> tuple[int, socket.socket]:
        """The id of a new process and the socket to speak with it. Raises OSError, and ForkerEnded."""
        ours, theirs = socket.socketpair()
        try:
            found = self._tell(FORK, 0, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        if found < 0:
            ours.close()
            raise OSError(-found, os.strerror(-found))
        return found, ours

    def end(self, pid: int) -> int:
        """End a process and what it has started, and return how it ended: its exit code, or a signal, negative. As `start`."""
        return self._tell(END, pid)

    def _tell(self, command: bytes, pid: int, *descriptors: int) -> int:
        with self._turn:
            try:
                socket.send_fds(self._control, [COMMAND.pack(command, pid)], descriptors)
                answer = self._answer()
            except OSError as error:
                raise ForkerEnded from error
        if len(answer) != REPLY.size:
            raise ForkerEnded
        [found] = REPLY.unpack(answer)
        return int(found)

    def _answer(self) -> bytes:
        """One that does not answer was stopped, and would hold up all questions, and the server's end."""
        self._control.settimeout(PATIENCE)
        for _ in range(2):
            with suppress(TimeoutError):
                return self._control.recv(REPLY.size)
        os.kill(self.pid, signal.SIGKILL)
        return b""


def _close(control: socket.socket, pid: int) -> None:
    with suppress(OSError):
        control.shutdown(socket.SHUT_RDWR)  # who waits for an answer of it hears that there is none
    control.close()
    deadline = time.monotonic() + PATIENCE
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)


def _run(act: Callable[[], None]) -> NoReturn:
    """In a forked process: it never returns to what its parent was doing."""
    code = 1
    try:
        act()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, nothing of the parent's may run here
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _fork_for(control: socket.socket, serve: Serve) -> None:
    """The forker, until the server's end of the socket is closed."""
    _tell_system(PR_SET_NAME, FORKER)
    _tell_system(PR_SET_CHILD_SUBREAPER, 1)  # what a process leaves behind becomes a child of this one
    gc.freeze()  # what the server has open is not ours to close
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a Ctrl-C is for the server, which then ends this process
    os.dup2(control.detach(), CONTROL, inheritable=False)
    os.closerange(CONTROL + 1, DESCRIPTORS)
    children = set[int]()
    try:
        with socket.socket(fileno=CONTROL) as told:
            told.settimeout(BETWEEN_LOOKS)
            while _obey(told, serve, children):
                pass
    finally:
        for pid in children:
            _end(pid)
        _end_orphans(set())


def _obey(told: socket.socket, serve: Serve, children: set[int]) -> bool:
    """Do what is told next; False: the server has ended."""
    try:
        message, descriptors, _, _ = socket.recv_fds(told, COMMAND.size, 1)
    except TimeoutError:
        _reap_orphans(children)
        return True
    if len(message) != COMMAND.size:
        return False
    command, pid = COMMAND.unpack(message)
    if command == FORK:
        found = _fork(told, serve, *descriptors)
        if found > 0:
            children.add(found)
    else:
        found = _end(pid)
        children.discard(pid)
        _reap_orphans(children)
        _end_orphans(children)
    with suppress(BrokenPipeError):  # the server has ended; the next message says so
        told.sendall(REPLY.pack(found))
    return True


def _fork(told: socket.socket, serve: Serve, descriptor: int) -> int:
    """The id of the process, or the number of an error, negative."""
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as its:
        try:
            pid = os.fork()
        except OSError as error:
            return -(error.errno or 1)
        if pid == 0:
            told.close()
            _run(lambda: _begin(its, serve))
    with suppress(OSError):  # it may have done so itself, and ended
        os.setpgid(pid, pid)
    return pid


def _begin(its: socket.socket, serve: Serve) -> None:
    os.setpgid(0, 0)
    _tell_system(PR_SET_PDEATHSIG, signal.SIGKILL)  # a handler that holds Python's lock could see to nothing itself
    _tell_system(PR_SET_NAME, ANSWERS)
    with suppress(OSError):  # no Linux, or /proc is hidden
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END, encoding="ascii")
    serve(its)


def _tell_system(what: int, value: int | bytes) -> None:
    """Of this process; does nothing on other systems than Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value)


def _end(pid: int) -> int:
    """Its group is killed: what it has started, too. It is reaped by nobody else, so its id is of no other process."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)  # it may have left its group
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _end_orphans(children: set[int]) -> None:
    """End what other processes have started, and left behind: what is in the group of one of `children` ends with that."""
    while orphans := [it for it in _children() - children if os.getpgid(it) not in children]:
        for pid in orphans:
            _end(pid)


def _reap_orphans(children: set[int]) -> None:
    """Those that have ended by themselves, which take the number of a process until then."""
    for pid in _children() - children:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _children() -> set[int]:
    """Those of this process, which has one thread; empty where the system does not say."""
    with suppress(OSError):
        return {int(it) for it in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()}
    return set()
