"""Text from outside made safe to store and to show: valid UTF-8, without control characters."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable

NAME = 200
"""Characters of a name that are shown: Kafka takes ids of up to 32 KiB."""
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the direction of text, and lone surrogates."""


def readable(text: str) -> str:
    """The text with lone surrogates escaped: an error may quote a file's name, which may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def harmless(text: str) -> str:
    r"""The text with control characters spelt, such as \x1b: an escape sequence can hide or forge lines of a terminal.

    Line feeds and tabs stay, as in a traceback.
    """
    return DRIVES.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def harmless_json(text: str) -> str:
    """The same for JSON, which has its own spelling for all of them: what a program reads is unchanged."""
    return DRIVES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """A value from outside within a line: a line feed in it would forge a line of its own."""
    return harmless(text.replace("\t", "\\t").replace("\n", "\\n"))


def shortened(text: str, most: int) -> str:
    """The text, cut to `most` characters; what is cut ends with …, for what is missing may change what it says."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def location(module: str, file: str, line: int) -> str:
    """`shop/item.py:17` of the module `shop.item`: the same on every machine, whatever folder the project is in."""
    parts = file.replace("\\", "/").split("/")
    count = module.count(".") + (2 if parts[-1] == "__init__.py" else 1)
    return f"{'/'.join(parts[-count:])}:{line}"


def named(text: str) -> str:
    """A name from outside, such as a transactional id, on one line and cut to a readable length."""
    whole = one_line(text)
    return whole if len(whole) <= NAME else f"{whole[:NAME]}…"


def in_a_line(error: BaseException) -> str:
    """An exception's class and message on one line, without notes and the lines of a syntax error. Its own `str` may fail."""
    lines = traceback.format_exception_only(error)
    return next((line for line in lines if not line.startswith("  ")), lines[-1]).strip()


def are_numbers(values: Iterable[object]) -> bool:
    """Whether a column of these is one of numbers, which may be missing here and there, but not everywhere."""
    there = [value for value in values if value is not None]
    return there != [] and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
