"""What a person is to do about a gateway's call that a correction has made wrong, in a sentence."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.engine.readable import shortened
from streams.history.difference.difference import OTHERWISE, WOULD_CALL

LONGEST = 120
"""Characters of a request's data."""


def call_advice(kind: str, event_type: str, undo: str | None, asked: Any, request: Any) -> str:
    """`asked` is the data that the gateway was asked with, and `request` that which is right, as JSON has them; None: unknown.

    Empty for a call that should not have been made: `undo` says what takes it back.
    """
    if kind == WOULD_CALL:
        return f"nobody has asked it: publish {event_type} with {_text(request)} if it is to be asked"
    if kind != OTHERWISE:
        return ""
    back = "take that back" if undo is None else f"take that back with {undo}"
    return (
        f"it was asked with {_text(asked)} and is right with {_text(request)}: {back}, then publish {event_type} with what is right"
    )


def _text(data: Any) -> str:
    return "its data" if data is None else shortened(msgspec.json.encode(data).decode(), LONGEST)
