"""Text from elsewhere as it may be stored or shown: nothing in it that UTF-8 has no form for, or that drives a terminal."""

from __future__ import annotations

import re

NAME = 200
"""Characters of a name that are shown: Kafka takes ids of up to 32 KiB."""
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and line feed, what turns the direction of text, and halves of characters."""


def readable(text: str) -> str:
    """With what has no form in UTF-8 spelt out: an error may quote a file's name, which may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def harmless(text: str) -> str:
    """With what drives a terminal spelt out, as JSON spells it: an escape sequence can hide lines or forge them."""
    return DRIVES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def named(text: str) -> str:
    """A name that strangers choose, such as a transactional id: on one line, and cut where it is too long to read."""
    whole = harmless(text.replace("\t", "\\t").replace("\n", "\\n"))
    return whole if len(whole) <= NAME else f"{whole[:NAME]}…"
