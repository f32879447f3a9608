"""Watching a project's files for `retold run --reload`: a change that keeps the laws restarts what runs the code."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from streams.cli.output.screen import displayed, talk
from streams.cli.process import exit_codes
from streams.config import Config

SUFFIXES = (".py", ".avsc", ".toml")
LOCK = "lock.json"
FOR_A_CHECK = 120.0
"""s that a check may take."""


class Reloader:
    """In a thread, until `stop`: after each change the laws are checked, and if they are kept, `restart` is called."""

    def __init__(self, config: Config, restart: Callable[[], None], stop: threading.Event) -> None:
        self._config, self._restart, self._stop = config, restart, stop
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        from watchfiles import watch  # late: no other command needs it

        try:
            changes = watch(
                *_folders(self._config),
                watch_filter=_filter(self._config),
                stop_event=self._stop,
                rust_timeout=500,
                raise_interrupt=False,
            )
            for change in changes:
                self._changed(sorted({path for _, path in change}))
        except (OSError, RuntimeError) as error:
            talk(f"Files cannot be watched any more ({error}); everything keeps running. Start `retold run` again to try again.")

    def _changed(self, paths: list[str]) -> None:
        said = f"{displayed(paths[0])}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
        code, found = check(self._config.project)
        if self._stop.is_set():
            return
        if code == exit_codes.OK:
            talk(f"{said} changed: restarting the worker and the server.")
            self._restart()
        else:
            talk(f"{said} changed, and the laws are broken, so what ran before keeps running:\n{found.rstrip()}")


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
    """Whether a change counts: of code, schemas and settings, in no folder of tools, and not of our own state."""
    from watchfiles import DefaultFilter

    usual = DefaultFilter()

    def counts(change: object, path: str) -> bool:
        file = Path(path)
        wanted = file.suffix in SUFFIXES or file.name == LOCK
        return wanted and not file.is_relative_to(config.state) and usual(change, path)  # type: ignore[arg-type]  # a Change

    return counts


def all_restarted(restarts: Iterable[Callable[[], None]]) -> Callable[[], None]:
    chosen = list(restarts)

    def restart() -> None:
        for each in chosen:
            each()

    return restart
