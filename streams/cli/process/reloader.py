"""Watching a project's files for `retold run --reload`: a change that keeps the laws restarts what runs the code."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streams.cli.output.screen import displayed, talk
from streams.cli.process import exit_codes
from streams.cli.process.application_files import ApplicationFiles
from streams.cli.process.supervised_process import SupervisedProcess
from streams.config import Config

SUFFIXES = (".py", ".avsc", ".toml")
LOCK = "lock.json"
FOR_A_CHECK = 120.0
"""s that a check may take."""


class Reloader:
    """In a thread, until `stop`: after each change the laws are checked, and if they are kept, the processes are restarted."""

    def __init__(self, config: Config, processes: Sequence[SupervisedProcess], stop: threading.Event) -> None:
        self._config, self._processes, self._stop = config, processes, stop
        self._told = Told()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            for what in _changes(self._config, self._stop):
                self._changed(what)
        except (OSError, RuntimeError) as error:
            talk(f"Files cannot be watched any more ({error}); everything keeps running. Start `retold run` again to try again.")

    def _changed(self, what: str) -> None:
        code, found = check(self._config.project)
        if self._stop.is_set():
            return
        if code == exit_codes.OK:
            self._told = Told()
            verb = "restarting" if any(process.running for process in self._processes) else "starting"
            talk(f"{what} changed: {verb} {_listed(self._processes)}.")
            for process in self._processes:
                process.restart()
        else:
            talk(self._told.sentence(what, found, _what_goes_on(self._processes)))


class Told:
    """The breaches that were shown last: an operator who saves a file several times need not read them again."""

    def __init__(self, found: str = "") -> None:
        self._found = found.strip()

    def sentence(self, what: str, found: str, consequence: str) -> str:
        """About the change of `what`, after which `found` was found."""
        found = found.strip()
        if found == self._found:
            return f"{what} changed, and the laws are still broken as shown above; {consequence}."
        self._found = found
        return f"{what} changed, and the laws are broken; {consequence}:\n{found}"


def _what_goes_on(processes: Sequence[SupervisedProcess]) -> str:
    """What a breach means for what runs, and for what does not."""
    runs = [process for process in processes if process.running]
    ended = [process for process in processes if not process.running]
    if not ended:
        return "what ran before keeps running"
    starts = f"{_listed(ended)} {'starts' if len(ended) == 1 else 'start'} when they are kept again"
    return f"{_listed(runs)} {'keeps' if len(runs) == 1 else 'keep'} running, and {starts}" if runs else starts


def _listed(processes: Sequence[SupervisedProcess]) -> str:
    return " and ".join(f"{process.name[0].lower()}{process.name[1:]}" for process in processes)


def wait_until_lawful(config: Config, found: str) -> None:
    """Until a change after which the laws are kept. `found` was shown before. Raises KeyboardInterrupt on Ctrl-C."""
    told, waits = Told(found), "Nothing is started. Waiting for a change of a file; press Ctrl-C to stop."
    for what in _changes(config, begun=lambda: talk(waits)):
        code, found = check(config.project)
        if code == exit_codes.OK:
            talk(f"{what} changed, and the laws are kept.")
            return
        talk(told.sentence(what, found, "waiting for the next change"))


def _changes(
    config: Config, stop: threading.Event | None = None, begun: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """The files of each change, in words. Until `stop`; without it, in the main thread, until Ctrl-C.

    `begun` is called once files are watched: a change before it is not seen.
    """
    from watchfiles import watch  # late: no other command needs it

    changes = watch(
        *_folders(config), watch_filter=_filter(config), stop_event=stop, rust_timeout=500, raise_interrupt=stop is None,
        yield_on_timeout=True,
    )  # fmt: skip
    for number, change in enumerate(changes):
        if number == 0:
            begun()
        if not change:
            continue
        first, *others = sorted({path for _, path in change})
        yield f"{displayed(first)}{f' and {len(others)} more' if others else ''}"


def _folders(config: Config) -> list[Path]:
    """The project, and its schemas where they lie elsewhere."""
    outside = config.schemas.is_dir() and not config.schemas.is_relative_to(config.project)
    return [config.project, config.schemas] if outside else [config.project]


def check(project: Path) -> tuple[int, str]:
    """The exit code of `retold check`, and what it says. It runs in a process of its own, which imports the new code."""
    command = [sys.executable, "-P", "-m", "streams.cli", "check"]
    try:
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, errors="replace", timeout=FOR_A_CHECK, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return exit_codes.FAULT, f"`retold check` did not end: {error}"
    return done.returncode, done.stdout + done.stderr


def _filter(config: Config) -> Callable[[object, str], bool]:
    """Whether a change counts: of the application's code, schemas and settings, in no folder of tools, and not of our own state."""
    from watchfiles import DefaultFilter

    usual, files = DefaultFilter(), ApplicationFiles(config)

    def counts(change: object, path: str) -> bool:
        file = Path(path)
        wanted = file.suffix in SUFFIXES or file.name == LOCK
        usually = wanted and not file.is_relative_to(config.state) and usual(change, path)  # type: ignore[arg-type]  # a Change
        return usually and (file.suffix != ".py" or files.has(file))

    return counts
