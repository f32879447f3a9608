"""A contestant's process: started in a session of its own, its words kept in a file, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from streams.localbroker.keeper import die_with_parent

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(command: Sequence[str], settings: Mapping[str, str], words: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process while the block runs; afterwards it is asked to end, and ended after 10 s.

    If this process is killed, Linux asks it in our place.
    """
    with words.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """A session of its own makes the process id the group's id, so children of the child go too."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def last_words(words: Path, lines: int = 15) -> str:
    return "\n".join(words.read_text(errors="replace").splitlines()[-lines:])
