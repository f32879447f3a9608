"""Pages of lists that are no tables: how many there are on one, and where the next one begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from streams.server.http.problems import Problem

LIMIT, MOST = 50, 1000
LARGEST = 2**63 - 1
"""What SQLite takes for a number."""


def limit_in(given: Mapping[str, str]) -> int:
    """From `_limit`. Raises a 422 problem."""
    text = given.get("_limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST):
        raise Problem(422, f"_limit is {text[:80]!r}; a whole number from 1 to {MOST} was expected", field="_limit")
    return int(text)


def cursor_text(order: Sequence[Any]) -> str:
    """Where a page ends, for an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(order))).decode().rstrip("=")


def cursor_in(given: Mapping[str, str], kinds: Any) -> Sequence[Any] | None:
    """From `_next`: values of these kinds, `tuple[int, str]`; None: it is not given. Raises a 422 problem."""
    text = given.get("_next")
    if text is None:
        return None
    found: Sequence[Any] = ()
    with suppress(msgspec.MsgspecError, binascii.Error, ValueError):
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kinds)
    if not found or any(isinstance(it, int) and abs(it) > LARGEST for it in found):
        raise Problem(422, f"_next is {text[:80]!r}; the `next` of a page was expected", field="_next")
    return found
