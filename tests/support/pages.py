"""The Python of a page of the documentation, run as a reader would paste it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def blocks(page: Path, kind: str = "python") -> list[str]:
    """The fenced blocks whose first line says `kind`."""
    return re.findall(rf"(?ms)^```{kind}$\n(.*?)^```$", page.read_text(encoding="utf-8"))


def run(page: Path, change: Callable[[str], str] = str) -> None:
    """From the first block to the last, each changed by `change`; what it asserts is so."""
    names: dict[str, Any] = {"__name__": page.stem}
    for number, block in enumerate(blocks(page), start=1):
        exec(compile(change(block), f"{page.name}, block {number}", "exec", dont_inherit=True), names)
