"""Calls of handlers that do not return: when they are named, ended and no longer made, and what a restart knows of them."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from streams.codec import codec_of
from streams.engine.attempts import Attempt
from streams.engine.batch import PartitionWork
from streams.engine.engine import Engine
from streams.errors import HandlerTimeout
from streams.worker.attempt_watch import KILLS, LIMIT, LOOK, ROUNDS, TOLD, AttemptWatch, StuckNote
from streams.worker.deadman import (
    AttemptRecord,
    Deadman,
    dead_attempts,
    has_just_fired,
    remove_old_stacks,
    untold_stacks,
)
from streams.worker.notes import Note
from streams.worker.threads import FRAMES, Stack, stack_of, this_thread
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.simulator.time import VirtualClock

ATTEMPT = Attempt(3, 7, 7, "probe.do", "k")


class Notes:
    """Of one namespace, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, partition: int) -> Note[StuckNote]:
        return Note(self._folder / f"probe-{partition}.json", StuckNote)


def watch_of(folder: Path, clock: VirtualClock) -> AttemptWatch:
    return AttemptWatch("p.probe", "topic-id", Notes(folder), clock)


def test_a_call_is_named_after_two_seconds_and_a_half_and_ended_after_seven_and_a_half(tmp_path: Path) -> None:
    """In the log with the line where it is, once, and in the report of its partition; then a note says that it was tried."""
    clock, gone = VirtualClock(), list[HandlerTimeout]()
    watch = watch_of(tmp_path, clock)
    watch.begin({3: 7})
    watch.began(ATTEMPT)
    steps = watch.watch(gone.append, lambda: False)
    with structlog.testing.capture_logs() as said:
        while clock.seconds <= TOLD + LOOK:  # it is first seen at the first look
            assert (said, watch.slow(3)) == ([], None)
            clock.sleep(next(steps))
        while not gone:
            assert watch.slow(3) == (1_700_000_000_250_000, "the handler of probe.do at p.probe-3@7 (key 'k') has not returned yet")
            assert watch.slow(2) is None
            clock.sleep(next(steps, LOOK))
    assert clock.seconds == LIMIT + 2 * LOOK
    assert [entry["log_level"] for entry in said] == ["warning"]
    assert "test_attempts.py" in said[0]["detail"]
    assert "is tried once more" in str(gone[0])
    assert Notes(tmp_path)(3).read() == StuckNote("topic-id", 7, 7, 1, Notes(tmp_path)(3).read().stack)  # type: ignore[union-attr]


def test_the_stack_of_a_handler_is_its_own() -> None:
    """With its file and line as the project has them; whoever looks for the cause does not read through retold's calls."""

    def handler() -> Stack:
        return stack_of(this_thread(), caller.__code__)

    def caller() -> Stack:
        return handler()

    found = caller()
    assert re.fullmatch(rf"(\w+/)*test_attempts.py:{handler.__code__.co_firstlineno + 1}", found.where)
    assert ("in handler" in found.lines, "in caller" in found.lines) == (True, False)


def test_a_call_that_returns_is_no_matter(tmp_path: Path) -> None:
    """However many follow each other."""
    clock = VirtualClock()
    watch = watch_of(tmp_path, clock)
    steps = watch.watch(lambda error: pytest.fail(str(error)), lambda: clock.seconds > 60)
    watch.begin({3: 7})
    while (pause := next(steps, None)) is not None:
        watch.began(replace(ATTEMPT))
        clock.sleep(pause)
        if round(clock.seconds / LOOK) % 15 == 0:
            watch.ended()


@pytest.mark.parametrize(
    ("note", "is_called"),
    [
        (None, True),
        (StuckNote("topic-id", 7, 7, ROUNDS - 1), True),
        (StuckNote("topic-id", 7, 7, ROUNDS), False),
        (StuckNote("another", 7, 7, ROUNDS), True),
        (StuckNote("topic-id", 6, 6, ROUNDS), True),
        (StuckNote("topic-id", 8, 7, ROUNDS), True),
    ],
    ids=["none", "once", "twice", "another topic", "handled", "another attempt"],
)
def test_what_never_returned_is_parked_without_a_call(tmp_path: Path, note: StuckNote | None, is_called: bool) -> None:
    """By the same engine, in the order of its key; a later attempt of an operator calls the handler again."""
    if note is not None:
        Notes(tmp_path)(3).write(note)
    app = probe.app()
    codec = codec_of(app)
    engine = Engine(app, "probe", codec)
    image, watch = engine.image(3), watch_of(tmp_path, VirtualClock())
    image.inbox_next = 7
    watch.begin({3: 7})
    record = (7, b"k", codec.encode(ProbeDo(name="k", how="count")), None, 0)
    *_, changes = engine.process(image, PartitionWork(records=[record]), 1, attempts=watch)
    assert [aside.header.reason for aside in changes.set_aside] == (
        [] if is_called else [
            "its handler never returned, so it is not called again: each of 2 calls took longer than 7.5 s, or its process crashed"
        ]
    )
    said = "probe.do at probe-3@7 was parked: its handler never returned"
    assert [text for _, text in changes.raised] == ([] if is_called else [said])
    assert [aside.header.detail for aside in changes.set_aside] == ([] if is_called else ["The handler was here:\n"])


def test_a_note_of_what_was_handled_is_removed(tmp_path: Path) -> None:
    """Its handler returned the second time."""
    Notes(tmp_path)(3).write(StuckNote("topic-id", 6, 6, 1))
    watch_of(tmp_path, VirtualClock()).begin({3: 7})
    assert Notes(tmp_path)(3).read() is None


def test_a_process_that_was_ended_in_a_handler_is_found_once(tmp_path: Path) -> None:
    """By its record and the stacks that were written at its end; one that goes on, or was in no handler, is not."""
    lives = os.open(tmp_path / "b.stacks", os.O_WRONLY | os.O_CREAT)
    fcntl.flock(lives, fcntl.LOCK_EX)
    for slot, (name, stacks) in enumerate([("a", "Timeout!\n  here"), ("b", ""), ("c", "Timeout!")]):
        if stacks:
            (tmp_path / f"{name}.stacks").write_text(stacks)
        record = AttemptRecord(tmp_path / f"p.probe.{slot}.attempt", "topic-id", f"{name}.stacks")
        record.began(ATTEMPT)
        if name == "c":
            record.ended()
    AttemptRecord(tmp_path / "p.probe.9.attempt", "topic-id", "none.stacks").began(ATTEMPT)
    assert list(dead_attempts(tmp_path, "probe")) == []
    [dead] = dead_attempts(tmp_path, "p.probe")
    assert dead == ("topic-id", 3, 7, 7, "Timeout!\n  here")
    assert list(dead_attempts(tmp_path, "p.probe")) == []
    assert has_just_fired(tmp_path)
    os.close(lives)
    watch = watch_of(tmp_path, VirtualClock())
    watch.note_dead(dead)
    watch.note_dead(dead._replace(topic_id="another"))
    found = Notes(tmp_path)(3).read()
    assert (found and found.rounds) == 1


def test_an_event_whose_process_is_killed_each_time_is_parked(tmp_path: Path) -> None:
    """As one whose handler uses up the memory: it would be handled again for ever, and nobody would know which it is."""
    for times in range(KILLS + 1):
        watch = watch_of(tmp_path, VirtualClock())
        (tmp_path / f"{times}.stacks").touch()
        with structlog.testing.capture_logs() as said:
            for dead in dead_attempts(tmp_path, "p.probe"):
                watch.note_dead(dead)
        assert [entry["event"] for entry in said] == ["an earlier process was killed in a handler"] * (times > 0)
        watch.begin({3: 7})
        record = AttemptRecord(tmp_path / "p.probe.0.attempt", "topic-id", f"{times}.stacks")
        if times < KILLS:
            watch.began(ATTEMPT)
            record.began(ATTEMPT)
    with pytest.raises(HandlerTimeout, match=f"its process was killed {KILLS} times while its handler was called"):
        watch.began(ATTEMPT)
    watch.began(replace(ATTEMPT, position=9))


def test_stacks_are_removed_a_day_later_but_not_those_that_somebody_still_needs(tmp_path: Path) -> None:
    """A process that lives would write into a file without a name; a record that names one is not counted yet."""
    with structlog.testing.capture_logs():
        lives = Deadman(tmp_path)
    try:
        for name in ("old", "named", "new"):
            (tmp_path / f"{name}.stacks").write_text("Timeout!")
        AttemptRecord(tmp_path / "p.probe.0.attempt", "topic-id", "named.stacks").began(ATTEMPT)
        for file in tmp_path.glob("*.stacks"):
            if file.stem != "new":
                os.utime(file, (1, 1))
        remove_old_stacks(tmp_path)
        assert {it.name for it in tmp_path.glob("*.stacks")} == {"named.stacks", "new.stacks", lives.file.name}
    finally:
        lives.close()
    assert list(dead_attempts(tmp_path, "p.probe")) != []


def test_a_call_that_was_noted_is_not_counted_again(tmp_path: Path) -> None:
    """While its process ends something else may end it; and the stack may name a file in whatever bytes."""
    clock, signs = VirtualClock(), Signs()
    record = AttemptRecord(tmp_path / "p.probe.0.attempt", "topic-id", "a.stacks")
    watch = AttemptWatch("p.probe", "topic-id", Notes(tmp_path), clock, signs, record)
    watch.begin({3: 7})
    watch.began(ATTEMPT)
    gone = list[HandlerTimeout]()
    steps = watch.watch(gone.append, lambda: False)
    while not gone:
        clock.sleep(next(steps, LOOK))
    (tmp_path / "a.stacks").write_text("Timeout!")
    assert list(dead_attempts(tmp_path, "p.probe")) == []
    assert signs.begun == []
    assert watch.note(3, 8, 8, "in /srv/\udce4/app.py") == 1
    assert Notes(tmp_path)(3).read() == StuckNote("topic-id", 8, 8, 1, "in /srv/\\udce4/app.py")


def test_a_note_that_cannot_be_read_is_logged_once(tmp_path: Path) -> None:
    """It is asked for with each batch."""
    (tmp_path / "probe-3.json").write_text("")
    watch = watch_of(tmp_path, VirtualClock())
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            watch.begin({3: 7})
    assert [entry["event"] for entry in said] == ["a note cannot be read and is ignored"]


class Signs(Deadman):
    """Counts the signs of life, and ends nothing."""

    def __init__(self) -> None:
        self.begun, self.count = list[str](), 0

    def begin(self, namespace: str) -> None:
        self.begun.append(namespace)

    def alive(self, namespace: str) -> None:
        self.count += 1

    def done(self, namespace: str) -> None:
        self.begun.remove(namespace)


def test_a_sign_of_life_is_given_while_no_call_stands_still(tmp_path: Path) -> None:
    """Also by a batch that waits for its broker; a call that does not return gets none, so the process ends in any case."""
    clock, signs = VirtualClock(), Signs()
    watch = AttemptWatch("p.probe", "topic-id", Notes(tmp_path), clock, signs)
    steps = watch.watch(lambda _: None, lambda: False)
    next(steps)
    watch.begin({3: 7})
    assert signs.begun == ["p.probe"]
    for _ in range(3):
        clock.sleep(next(steps))
    assert signs.count == 3
    watch.began(ATTEMPT)
    for _ in range(3):
        clock.sleep(next(steps))
    assert signs.count == 4  # when it was first seen
    watch.ended()
    clock.sleep(next(steps))
    watch.finish()
    assert (signs.count, signs.begun) == (5, [])


def test_a_stack_without_end_is_read_in_part() -> None:
    """Of a recursion; whoever looks would never come back, and use up the memory."""

    def deeper(left: int) -> str:
        return deeper(left - 1) if left else stack_of(threading.get_ident(), this_thread.__code__).lines

    text = deeper(500)
    assert f"Previous line repeated {FRAMES - 4} more times" in text
    assert "in stack_of" in text


BESIDE_ANOTHER = """
import sys, time
from pathlib import Path
from streams.worker import deadman
deadman.AFTER = 1.0
one = deadman.Deadman(Path(sys.argv[1]))
one.begin("held")
one.begin("other")
for _ in range(200):
    time.sleep(0.05)
    one.alive("other")
"""


def test_a_namespace_that_lives_says_nothing_of_another(tmp_path: Path) -> None:
    """Whoever should look after the other one may stand still itself."""
    done = subprocess.run([sys.executable, "-c", BESIDE_ANOTHER, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == 1
    assert has_just_fired(tmp_path)


STANDING_STILL = """
import ctypes, sys
from pathlib import Path
from streams.worker.deadman import Deadman
one = Deadman(Path(sys.argv[1]), standstill=1.0)
one._closed.wait(float(sys.argv[2]))
ctypes.PyDLL(None).sleep(int(sys.argv[3]))  # with the interpreter's lock
one.close()
"""


def test_a_process_whose_threads_do_not_run_is_ended(tmp_path: Path) -> None:
    """Also between batches: a call of librdkafka that waits with Python's lock would stop each namespace, and nobody would see."""

    def ends(waits: float, stands: int) -> int:
        command = [sys.executable, "-c", STANDING_STILL, str(tmp_path), str(waits), str(stands)]
        return subprocess.run(command, timeout=60, check=False).returncode

    assert (ends(2.5, 0), list(untold_stacks(tmp_path))) == (0, [])
    assert ends(0, 30) == 1
    [told] = untold_stacks(tmp_path)
    assert "line 7 in <module>" in told.read_text()
    assert list(untold_stacks(tmp_path)) == []
