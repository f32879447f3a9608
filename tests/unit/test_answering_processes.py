"""Processes that answer questions: one that hangs, or that ends, is replaced, and none outlives who asks."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.server.asking import answering_processes, process_forker
from streams.server.asking.answering_processes import IDLE, AnsweringProcesses, AnswerLost, AnswerTooSlow
from streams.server.asking.frames import read_frame, send_frame
from streams.server.asking.process_forker import ForkerEnded
from tests.support.processes import descendants, is_there
from tests.support.workers import until

SOON = 30.0
"""s in which what is ended has ended: by itself it takes 60."""
LARGE = 3_000_000
"""Bytes of an answer that no pipe holds."""


def spin(_: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def fail(_: str) -> None:
    raise ValueError("told to")


def start(file: str) -> None:
    started = subprocess.Popen(["/bin/sleep", "60"])
    Path(file).write_text(str(started.pid), encoding="ascii")
    time.sleep(60)


def fork(file: str) -> None:
    """Once, and once more in another session; the copies have nothing to say."""
    for own in (os.setsid, lambda: None):
        if os.fork() == 0:
            own()
            with Path(file).open("a", encoding="ascii") as pids:
                pids.write(f"{os.getpid()}\n")
            time.sleep(60)
            os._exit(0)
    until(lambda: len(pids_in(file)) == 2, "they are not all there")


def pids_in(file: str | Path) -> list[int]:
    return [int(it) for it in Path(file).read_text(encoding="ascii").split()] if Path(file).exists() else []


def leave(file: str) -> None:
    """A program in a session of its own, by one that has ended."""
    if (pid := os.fork()) == 0:
        started = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
        Path(file).write_text(str(started.pid), encoding="ascii")
        os._exit(0)
    os.waitpid(pid, 0)


def is_orphan() -> bool:
    """Forks twice; True in the copy, whose parent has ended."""
    if (pid := os.fork()) == 0:
        if os.fork() == 0:
            return True
        os._exit(0)
    os.waitpid(pid, 0)
    return False


def answer_twice(_: str) -> None:
    """The copy comes later, when the next question may have been asked; nobody waits for it."""
    if is_orphan():
        time.sleep(0.3)


def leave_soon(_: str) -> None:
    """One that ends by itself, and whose parent has ended before it."""
    if is_orphan():
        time.sleep(0.1)
        os._exit(0)


ACTS: dict[str, Callable[[str], object]] = {
    "who": lambda _: None,
    "sleep": lambda _: time.sleep(60),
    "nap": lambda _: time.sleep(0.5),
    "spin": spin,
    "hold": lambda _: ctypes.pythonapi.sleep(60),  # with Python's lock, so no thread of the process could see to it
    "exit": lambda code: os._exit(int(code)),
    "fault": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "raise": fail,
    "log": logging.getLogger("retold.server").warning,
    "start": start,
    "fork": fork,
    "leave": leave,
    "soon": leave_soon,
    "twice": answer_twice,
    "thread": lambda _: threading.Thread(target=time.sleep, args=(60,), daemon=True).start(),
}


def answer(question: bytes) -> bytes:
    """Its process, once that has done what is asked."""
    if question[:1] == b"x":
        return question
    word, _, rest = question.decode().partition(" ")
    ACTS[word](rest)
    return b"%d" % os.getpid()


@pytest.fixture
def processes() -> Iterator[AnsweringProcesses]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which this process may have
        found = AnsweringProcesses(answer)
    yield found
    found.end()


def test_a_process_answers_again_and_again(processes: AnsweringProcesses) -> None:
    """It is not this one, and an answer may be large."""
    first = processes.ask(b"who", 30)
    assert (processes.ask(b"who", 30), int(first) == os.getpid()) == (first, False)
    assert processes.ask(b"x" * LARGE, 30) == b"x" * LARGE


def test_who_looks_at_processes_sees_which_they_are(processes: AnsweringProcesses) -> None:
    """Their command is that of the server."""
    pid, forker = int(processes.ask(b"who", 30)), processes._forker.pid
    assert [Path(f"/proc/{it}/comm").read_text(encoding="ascii") for it in (forker, pid)] == ["retold-forker\n", "retold-answers\n"]


def test_where_memory_is_short_they_are_ended_first(processes: AnsweringProcesses) -> None:
    """A view that takes all there is would have ended the server, or a worker beside it."""
    pid = int(processes.ask(b"who", 30))
    of_forker, its = (int(Path(f"/proc/{it}/oom_score_adj").read_text()) for it in (processes._forker.pid, pid))
    assert its == 1000 > of_forker


@pytest.mark.parametrize("how", [b"sleep", b"spin", b"hold"])
def test_one_that_takes_too_long_is_ended(processes: AnsweringProcesses, how: bytes) -> None:
    """The next question has another one."""
    pid = int(processes.ask(b"who", 30))
    with pytest.raises(AnswerTooSlow):
        processes.ask(how, 0.2)
    assert not is_there(pid)
    assert int(processes.ask(b"who", 30)) != pid


def test_one_that_says_more_and_more_is_not_heard_beyond_its_time() -> None:
    """A view that logs without end would never be ended: there is always something to read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_frame(theirs, b"and another thing")
        with pytest.raises(TimeoutError):
            read_frame(ours, time.monotonic())


@pytest.mark.parametrize(
    ("question", "how"),
    [
        (b"exit 7", "ended with the exit code 7"), (b"exit 0", "ended with the exit code 0"), (b"fault", "was ended by SIGSEGV"),
        (b"raise", "ended with the exit code 1"),
    ],
)  # fmt: skip
def test_one_that_ends_instead_says_how(processes: AnsweringProcesses, question: bytes, how: str) -> None:
    """And the next question is answered."""
    with pytest.raises(AnswerLost) as lost:
        processes.ask(question, 30)
    assert lost.value.how == how
    assert processes.ask(b"who", 30)


def test_one_that_ended_while_it_was_asked_nothing_is_no_error(processes: AnsweringProcesses) -> None:
    """As when the system is short of memory."""
    pid = int(processes.ask(b"who", 30))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid), "it goes on")
    assert int(processes.ask(b"who", 30)) != pid


def test_one_that_is_asked_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds memory and a file. A question that comes just then is answered by another one."""
    monkeypatch.setattr(answering_processes, "IDLE_SECONDS", 0.05)
    processes = AnsweringProcesses(answer)
    try:
        found = {processes.ask(b"who", 30)}
        until(lambda: not any(is_there(int(it)) for it in found), "the first stays")
        for _ in range(20):
            found.add(processes.ask(b"who", 30))
            time.sleep(0.05)  # as long as one waits: now and then it ends in the moment in which it is asked
        assert len(found) > 1
        until(lambda: not any(is_there(int(it)) for it in found), "one stays")
    finally:
        processes.end()


def test_few_are_kept(processes: AnsweringProcesses) -> None:
    """Of many that were needed at once; the others end at once, too."""
    threads = [threading.Thread(target=processes.ask, args=(b"nap", 30)) for _ in range(4 * IDLE)]
    for thread in threads:
        thread.start()
    until(lambda: len(descendants(processes._forker.pid)) > IDLE, "they are not asked at once")
    for thread in threads:
        thread.join()
    until(lambda: len(descendants(processes._forker.pid)) <= IDLE, "too many are kept")


def test_what_is_logged_there_is_logged_here(processes: AnsweringProcesses, caplog: pytest.LogCaptureFixture) -> None:
    processes.ask(b"log hello you", 30)
    assert [(it.levelname, it.name, it.getMessage()) for it in caplog.records] == [("WARNING", "retold.server", "hello you")]


def test_what_a_process_has_started_ends_with_it(processes: AnsweringProcesses, tmp_path: Path) -> None:
    """A view may start programs."""
    file = tmp_path / "pid"
    with pytest.raises(AnswerTooSlow):
        processes.ask(f"start {file}".encode(), 2.0)
    until(lambda: not is_there(int(file.read_text())), "it goes on", seconds=SOON)


def test_one_with_a_thread_that_goes_on_is_not_asked_again(processes: AnsweringProcesses) -> None:
    """A view may leave one behind, which would take time from the answers after it."""
    pid = int(processes.ask(b"thread", 30))
    assert int(processes.ask(b"who", 30)) != pid
    assert not is_there(pid)


def test_one_that_has_forked_is_not_asked_again(processes: AnsweringProcesses, tmp_path: Path) -> None:
    """Else a view leaves more of them with each call; in a session of its own, too."""
    pid = int(processes.ask(f"fork {tmp_path / 'pids'}".encode(), 30))
    assert int(processes.ask(b"who", 30)) != pid
    until(lambda: not any(map(is_there, pids_in(tmp_path / "pids"))), "one goes on", seconds=SOON)


def test_what_was_left_behind_ends_with_the_next_process(processes: AnsweringProcesses, tmp_path: Path) -> None:
    """Nobody else knows of it: who started it has ended, and it is in no group of a process that is known."""
    processes.ask(f"leave {tmp_path / 'pid'}".encode(), 30)
    assert is_there(*pids_in(tmp_path / "pid"))
    with pytest.raises(AnswerLost):
        processes.ask(b"exit 1", 30)
    assert not is_there(*pids_in(tmp_path / "pid"))


def test_what_ends_by_itself_is_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is asked all the time would leave more and more of them."""
    monkeypatch.setattr(process_forker, "BETWEEN_LOOKS", 0.05)
    processes = AnsweringProcesses(answer)
    try:
        pid = int(processes.ask(b"soon", 30))
        until(lambda: [*descendants(processes._forker.pid)] == [pid], "it takes its number for ever")
        assert int(processes.ask(b"who", 30)) == pid
    finally:
        processes.end()


def test_a_copy_of_a_process_answers_nothing(processes: AnsweringProcesses) -> None:
    """What it said would be taken for the answer to the next question, of somebody else."""
    pid = processes.ask(b"twice", 30)
    assert processes.ask(b"nap", 30) == pid
    assert processes.ask(b"xyz", 30) == b"xyz"


def test_who_starts_them_may_not_stand_still(processes: AnsweringProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """All questions would wait for it, and the server for them when it is to end."""
    monkeypatch.setattr(process_forker, "PATIENCE", 0.2)
    os.kill(processes._forker.pid, signal.SIGSTOP)
    with pytest.raises(ForkerEnded):
        processes.ask(b"who", 30)
    processes.end()


def test_the_end_does_not_wait_for_who_stands_still(processes: AnsweringProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, and what it had started with it."""
    monkeypatch.setattr(process_forker, "PATIENCE", 0.2)
    pid = int(processes.ask(b"who", 30))
    os.kill(processes._forker.pid, signal.SIGSTOP)
    processes.end()
    until(lambda: not is_there(pid), "it goes on", seconds=SOON)


def test_the_end_is_heard_by_who_waits(processes: AnsweringProcesses) -> None:
    """A server that stops waits for no view."""
    heard = list[BaseException]()

    def ask() -> None:
        try:
            processes.ask(b"sleep", 60)
        except (AnswerLost, ForkerEnded) as error:  # the latter, if it has not heard yet which process it has
            heard.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: len(descendants(processes._forker.pid)) == 1, "it is not asked")
    processes.end()
    thread.join(30)
    assert len(heard) == 1
    with pytest.raises(ForkerEnded):
        processes.ask(b"who", 30)


def test_without_who_starts_them_nothing_is_answered_for_long(processes: AnsweringProcesses) -> None:
    """Should somebody end it: its processes end with it, and the next question says so."""
    pid = int(processes.ask(b"who", 30))
    os.kill(processes._forker.pid, signal.SIGKILL)
    until(lambda: not is_there(pid), "a process outlives it", seconds=SOON)
    with pytest.raises(ForkerEnded):
        processes.ask(b"who", 30)


PROGRAM = """
import sys, threading, time
from streams.server.asking.answering_processes import AnsweringProcesses
from tests.unit.test_answering_processes import answer

processes = AnsweringProcesses(answer)
for question in (b"spin", b"sleep", b"hold"):
    threading.Thread(target=processes.ask, args=(question, 60), daemon=True).start()
print("asked", flush=True)
time.sleep(60)
"""


def test_none_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    """Also not one that would never end by itself, nor one that holds Python's lock."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"asked\n"
        until(lambda: len(descendants(server.pid)) == 4, "they are not all there")
        there = descendants(server.pid)
        server.kill()
        until(lambda: not any(map(is_there, there)), "one outlives it", seconds=SOON)
