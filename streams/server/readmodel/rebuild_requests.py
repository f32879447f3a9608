"""Requests to fold projections again, from a command to the server of a file: small files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from streams.private_files import make_private

FOLDER = "rebuild"


class RebuildRequests:
    """Those in the `folder` of a server's file. Each names a projection, and has how many percent of it are done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def ask(self, name: str) -> None:
        """Raises OSError."""
        make_private(self._folder)
        (self._folder / name).write_text("0")

    def names(self) -> Sequence[str]:
        """In alphabetical order."""
        try:
            return sorted(it.name for it in self._folder.iterdir())
        except OSError:  # nobody has ever asked
            return []

    def tell(self, names: Iterable[str], percent: int) -> None:
        """Those of them that somebody has asked for."""
        for file in (self._folder / name for name in names):
            if file.exists():
                with suppress(OSError):
                    file.write_text(str(percent))

    def done(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):
                (self._folder / name).unlink()

    def percent(self, name: str) -> int | None:
        """None: it is done."""
        try:
            return int((self._folder / name).read_text() or 0)
        except FileNotFoundError:
            return None
        except ValueError:  # it is being written
            return 0
