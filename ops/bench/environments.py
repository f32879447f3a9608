"""A private environment for each peer, made when it is first needed and again when its requirements change."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".bench"


def python_of(peer: str, say: Callable[[str], None]) -> Path:
    """The Python of `peer`'s environment, .bench/<peer>. Raises RuntimeError with the installer's last words."""
    wanted = Path(__file__).with_name(f"requirements-{peer}.txt").read_text()
    home = FOLDER / peer
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"making the environment of {peer} (once)")
    _run([sys.executable, "-m", "venv", "--clear", str(home)])
    requirements = home / "wanted.txt"
    requirements.write_text(wanted)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)])
    requirements.rename(stamp)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
