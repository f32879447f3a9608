"""Numbers and times from texts, as strict readers take them. What Python takes beyond that is refused.

`float` takes `1_000`, ` 1 `, digits of other scripts and `infinity`, and turns 1e-400 into 0 in silence. `fromisoformat` takes week
dates, any letter between date and time and a comma before the fraction, and cuts nanoseconds off: two rows become one.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

from streams.errors import InvalidEvent

WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
DIGITS = re.compile(r"[+-]?[0-9]{1,400}")
"""A whole number that a double may hold."""
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6})0*)?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
"""RFC 3339. Digits beyond microseconds must be 0."""
COMMON_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-5][0-9])"
)
"""Of these, Python's `fromisoformat` takes what RFC 3339 does."""
TIME_EXPECTED = "an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z,"


def whole_number(text: str) -> int:
    """Decimal digits, perhaps with a sign. Raises ValueError."""
    if not WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def number(text: str) -> float:
    """A decimal number. Raises ValueError, also for one that is no number of 64 bits: too large, too small, or too long."""
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    found = float(text)
    if DIGITS.fullmatch(text) and math.isfinite(found) and int(text) != found:
        raise ValueError(text)
    if not math.isfinite(found) or (found == 0 and re.search("[1-9]", re.split("[eE]", text)[0])):
        raise ValueError(text)
    return found


def json_number(text: str) -> float:
    """For `parse_float` of json.loads, which gives inf for 1e400 and 0 for 1e-400. Raises InvalidEvent."""
    try:
        return number(text)
    except ValueError:
        raise InvalidEvent(f"the number {text[:80]} is too large or too small to keep") from None


def time(text: str) -> datetime:
    """A time with a zone, as RFC 3339 writes it: no week dates, no comma, no more than microseconds. Raises ValueError."""
    if COMMON_TIME.fullmatch(text):
        return datetime.fromisoformat(text)
    if (found := TIME.fullmatch(text)) is None:
        raise ValueError(text)
    date, clock, fraction, zone = found.groups()
    return datetime.fromisoformat(f"{date}T{clock}{f'.{fraction}' if fraction else ''}{zone.upper()}")
