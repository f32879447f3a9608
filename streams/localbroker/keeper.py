"""The keeper: ends the embedded broker when its owner ends, even by `kill -9`.

It runs as a program of its own, by its path and without site-packages, so that it starts in milliseconds: it imports only
the standard library. Its standard input is a pipe from the owner that is never written to; when it closes, the owner has
ended. Its one argument is a JSON object:
    commands   lists of arguments, run one after the other; the last one is the broker
    lock       the number of the inherited file that holds the folder's lock; each command inherits it too, so that
               the folder stays locked as long as anything uses it
    record     the path of broker.json, removed when the broker has ended
    work       null, or a streams.localbroker.class_archive.SnapshotJob: something to prepare for later starts
The record appears when the broker answers; then the work begins.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading

SECONDS_TO_STOP = 10.0
SECONDS_BEFORE_WORK = 5.0  # once the broker answers: it loads classes at its first requests, too
PR_SET_PDEATHSIG = 1
KILLED = 128
"""The exit code says so, plus the number of the signal that ended the broker."""


def die_with_parent() -> None:
    """In a new child: have Linux end it if the keeper is killed. Does nothing on other systems."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        child.kill()


class Keeper:
    """Runs commands in turn until one fails, the last one ends, or the owner has ended."""

    def __init__(self, lock: int) -> None:
        self.lock = lock
        self.child: subprocess.Popen[bytes] | None = None
        self.ending = False
        self.ended = threading.Event()
        self.turn = threading.Lock()

    def run(self, command: list[str]) -> int:
        with self.turn:
            if self.ending:
                return 0
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[self.lock],
                preexec_fn=die_with_parent,  # no other thread holds a lock at this moment
            )
        return self.child.wait()

    def terminate(self) -> None:
        self.ending = True
        if self.child is not None:
            self.child.terminate()

    def end_with_owner(self) -> None:
        os.read(0, 1)  # returns when the pipe closes
        with self.turn:
            self.ending = True
        if self.child is not None:
            end(self.child)


def prepare(command: list[str], files: dict[str, str], record: str, ended: threading.Event) -> None:
    """Do the work beside the broker, once this answers. It is abandoned when the broker ends, and begun anew another time."""
    try:
        while not os.path.exists(record):  # noqa: PTH110 - as below
            if ended.wait(0.2):
                return
        if ended.wait(SECONDS_BEFORE_WORK):
            return
        with open(files["lock"], "w") as lock:  # noqa: PTH123 - as below
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one of several brokers that were started at the same time
            if not os.path.exists(files["result"]):  # noqa: PTH110 - as below
                make(command, files, ended)
    except OSError:
        pass  # another broker does it, or the disk is full: a later start takes longer
    finally:
        ended.wait()  # the broker writes its list until then
        for name in ("loaded", "classes", "draft"):
            with contextlib.suppress(OSError):
                os.unlink(files[name])  # noqa: PTH108 - as below


def make(command: list[str], files: dict[str, str], ended: threading.Event) -> None:
    """Run the work's command at low priority, with what the broker has loaded up to now."""
    with open(files["loaded"], "rb") as loaded, open(files["classes"], "wb") as classes:  # noqa: PTH123 - as below
        classes.writelines(line for line in loaded if line.endswith(b"\n"))  # the broker may be about to write the last one
    child = subprocess.Popen(
        ["nice", "-n", "10", *command],
        stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # as above
    )
    while child.poll() is None and not ended.wait(0.2):
        pass
    child.kill()
    if child.wait() == 0:
        os.replace(files["draft"], files["result"])  # noqa: PTH105 - as below


def main() -> int:
    task = json.loads(sys.argv[1])
    keeper = Keeper(task["lock"])
    work = task["work"]
    helper = None
    if work:
        helper = threading.Thread(target=prepare, args=(work["command"], work, task["record"], keeper.ended))
        helper.start()
    signal.signal(signal.SIGTERM, lambda *_: keeper.terminate())
    threading.Thread(target=keeper.end_with_owner, daemon=True).start()
    code = 0
    for command in task["commands"]:
        code = keeper.run(command)
        if code != 0:
            break
    keeper.ended.set()
    if helper:
        helper.join()
    with contextlib.suppress(OSError):
        os.unlink(task["record"])  # noqa: PTH108 - pathlib is not worth its import time here
    return 0 if keeper.ending else KILLED - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
