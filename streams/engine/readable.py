"""Text from outside made safe to store and to show: valid UTF-8, without control characters for a terminal."""

from __future__ import annotations

import re

NAME = 200
"""Characters of a name that are shown: Kafka takes ids of up to 32 KiB."""
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the direction of text, and lone surrogates."""


def readable(text: str) -> str:
    """The text with lone surrogates escaped: an error may quote a file's name, which may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def harmless(text: str) -> str:
    """The text with control characters escaped as in JSON: an escape sequence can hide or forge lines of a terminal."""
    return DRIVES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def named(text: str) -> str:
    """A name from outside, such as a transactional id, on one line and cut to a readable length."""
    whole = harmless(text.replace("\t", "\\t").replace("\n", "\\n"))
    return whole if len(whole) <= NAME else f"{whole[:NAME]}…"
