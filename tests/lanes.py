"""All tests, in lanes that run at the same time: `python -m tests.lanes [arguments of pytest]`.

Tests with a broker mostly wait, for time-outs that are what they are about; so a machine of two cores has room for several
lanes. Each is a pytest of its own, with a broker of its own if one of its tests asks for it. One more lane is `make lint`. What
a lane said is printed when it has ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]

CHAOS, E2E, INTEGRATION, UNIT = (ROOT / "tests" / name for name in ("chaos", "e2e", "integration", "unit"))


def files(folder: Path, *names: str) -> list[str]:
    return [(folder / f"test_{name}.py").relative_to(ROOT).as_posix() for name in names]


OWN_BROKERS = [
    *files(CHAOS, "broker_stalls", "broker_killed"), *files(E2E, "demo"), *files(CHAOS, "short_seeds"),
    *files(INTEGRATION, "broker", "reset_connection", "topics"),
]  # fmt: skip
"""From the short seeds on they ask for the session's broker: before that, none idles beside the others."""
JOBS = [
    *files(E2E, "real_input", "parked", "publish_file"), *files(CHAOS, "killed_workers"),
    *files(INTEGRATION, "alarms", "stuck_handlers", "stored_formats", "client", "states", "pending", "topics_change"),
]  # fmt: skip
PEOPLE = [
    *files(E2E, "tutorial", "dev_loop", "new", "site_browser", "console_browser", "what_if"),
    *files(INTEGRATION, "simulated_kafka", "imports", "verify"), *files(E2E, "story"),
]  # fmt: skip
ASKED = files(INTEGRATION, "history")
UNSHARED = files(INTEGRATION, "kafka_rights", "password", "deletion_without_groups")
"""Each starts a broker of its own: one that asks for passwords, or that no worker has known."""


def asking_a_server() -> list[str]:
    """Unit tests that send requests over a socket: some wait for the time-outs of connections."""
    found = sorted(path for path in UNIT.glob("test_*.py") if "MemoryServer" in path.read_text(encoding="utf-8"))
    return [path.relative_to(ROOT).as_posix() for path in found]


SERVED = asking_a_server()
APART = {*OWN_BROKERS, *JOBS, *PEOPLE, *ASKED, *UNSHARED, *SERVED}


def others(folder: Path) -> list[str]:
    found = sorted(path.stem.removeprefix("test_") for path in folder.glob("test_*.py"))
    return [file for file in files(folder, *found) if file not in APART]


LANES = {
    "unit": ["tests/simulator", *others(UNIT)],
    "of a server, then rights": [*SERVED, *UNSHARED],
    "brokers that stall and end": OWN_BROKERS,
    "whole jobs, then alarms": JOBS,
    "tutorial and browsers, then imports": PEOPLE,
    "the command line": [*others(E2E), *others(CHAOS), *ASKED],
    "integration": others(INTEGRATION),
}
"""Cut by the CPU time and the waits of single files. A new file is in the lane of its folder, or for e2e and chaos in that of the
command line, until it is named."""

LINT = ("style, types and laws", ["make", "--no-print-directory", "lint"])
"""A lane as well: beside the others it takes the processor while they wait."""

NOTHING_COLLECTED = 5
"""pytest's exit code where -k or -m leaves nothing of a lane."""


LAST_BYTES = 16_000
"""A summary of pytest, or the stacks of all threads after a crash."""

SECONDS_TO_END = 60
"""After Ctrl-C a lane still ends what its tests have started."""

LONGEST = 25 * 60.0
"""s. A lane that takes longer has one that hangs: pytest bounds each test, but not its end after a failure, nor its own."""


MANY = 50
"""Files of a folder."""


def named_by_folder(paths: list[str]) -> list[str]:
    """Arguments of pytest for these paths. Many files of one folder are the folder, without its others.

    For each file that is named, pytest makes an object of each file in its folder: collecting took 8.5 and 6.3 s of CPU for the
    two lanes of unit tests, and takes 4.6 and 3.9.
    """
    counts = Counter(Path(path).parent.as_posix() for path in paths)
    many = {folder for folder, count in counts.items() if count >= MANY}
    there = (path.relative_to(ROOT).as_posix() for folder in sorted(many) for path in sorted((ROOT / folder).glob("test_*.py")))
    named = dict.fromkeys(folder if (folder := Path(path).parent.as_posix()) in many else path for path in paths)
    return [*named, *(f"--ignore={path}" for path in there if path not in paths)]


def pytest_command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", *arguments]


class Lane:
    """Leaving its block waits for its end. One that takes longer than `longest` (s) is ended, and says where it stands."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.longest = name, LONGEST
        self._began, self.seconds, self.cpu = time.monotonic(), 0.0, 0.0
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the lane's block is left
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=self._said, stderr=subprocess.STDOUT)

    def ended(self) -> bool:
        before = _cpu_of_ended()
        if self._process.poll() is None:
            if time.monotonic() - self._began < self.longest:
                return False
            self._process.send_signal(signal.SIGABRT)  # it writes where each thread stands
            self._process.wait()
        self.seconds, self.cpu = time.monotonic() - self._began, _cpu_of_ended() - before
        return True

    @property
    def code(self) -> int:
        return self._process.wait()

    def tell(self) -> None:
        print(f"\n{self.name}, {self.seconds:.0f} s, {self.cpu:.0f} s of CPU:", flush=True)
        sys.stdout.buffer.write(self.output())
        sys.stdout.flush()

    def tell_how_it_failed(self) -> None:
        """Again, after all others: whoever sees the end of a long output alone must see this."""
        code = self.code
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        print(f"\nThe lane {self.name!r} failed: {how}. The end of what it said:", flush=True)
        sys.stdout.buffer.write(self.output()[-LAST_BYTES:])
        sys.stdout.flush()

    def output(self) -> bytes:
        """What it has said up to now. A seek would move where it writes, too."""
        file = self._said.fileno()
        return os.pread(file, os.fstat(file).st_size, 0)

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.wait(SECONDS_TO_END)  # a terminal's Ctrl-C has reached it as well
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._said.close()


def _cpu_of_ended() -> float:
    """S of all processes that have ended, with their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Of each lane, with its name. The `arguments` are for pytest."""
    return [LINT, *((name, pytest_command([*named_by_folder(paths), *arguments])) for name, paths in LANES.items())]


def run(lanes: list[tuple[str, list[str]]], fine: Set[int]) -> int:
    """0 if each lane ended with a code that is `fine`, else 1."""
    failed: list[Lane] = []
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Lane(name, command)) for name, command in lanes]
        names = "; ".join(lane.name for lane in running)
        print(f"{len(running)} lanes run at once: {names}. Each is shown when it has ended.", flush=True)
        while running:
            time.sleep(0.2)
            for lane in [lane for lane in running if lane.ended()]:
                running.remove(lane)
                lane.tell()
                failed += [lane] if lane.code not in fine else []
        for lane in failed:
            lane.tell_how_it_failed()
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """0 if no lane failed, else 1."""
    return run(commands(arguments), {0, NOTHING_COLLECTED} if arguments else {0})


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
