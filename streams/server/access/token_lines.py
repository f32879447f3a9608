"""Where in a file of principals something is, as a line: a message says what is wrong, and a person has to find it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Final

HEADER: Final = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
PRINCIPAL: Final = re.compile(r"\$\.principal\[(\d+)\]")
TABLE: Final = re.compile(r"\$\.(jwt|role)\b")
MEMBER: Final = re.compile(r"\]\.(\w+)|\$\.jwt\.(\w+)|unknown field `(\w+)`")


def principal_lines(text: str) -> Sequence[int]:
    """Those at which the entries begin, from 1 up; none if they are not all written as `[[principal]]`."""
    found = [at for at, line in enumerate(text.split("\n"), 1) if _header(line) == "principal"]
    try:
        count = len(tomllib.loads(text).get("principal", ()))
    except (ValueError, RecursionError):
        return []
    return found if len(found) == count else []


def line_of(message: str, text: str) -> int | None:
    """The line that a message of msgspec's is about, such as "Expected `str`, got `int` - at `$.principal[1].publish`"."""
    lines = text.split("\n")
    if (of_entry := PRINCIPAL.search(message)) is not None:
        begins, number = principal_lines(text), int(of_entry[1])
        if number >= len(begins):
            return None
        at = begins[number]
    else:
        table = TABLE.search(message)
        at = next((at for at, line in enumerate(lines, 1) if table and _header(line).startswith(table[1])), 0)
    member = MEMBER.search(message)
    name = next((it for it in member.groups() if it), "") if member else ""
    return _member_line(lines, at, name) or at or None


def _member_line(lines: Sequence[str], at: int, name: str) -> int | None:
    """Where a member stands in a table, before the next one begins."""
    for number in range(at + 1, len(lines) + 1):
        header = _header(lines[number - 1])
        if header and not header.startswith("principal."):
            return None
        if name and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", lines[number - 1]):
            return number
    return None


def _header(line: str) -> str:
    found = HEADER.match(line)
    return found[1] if found else ""
