"""What a person is to do about a gateway's call that a correction has made wrong, in a sentence."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from streams.engine.readable import shortened
from streams.history.difference.difference import OTHERWISE, WOULD_CALL

LONGEST = 120
"""Characters of a request's data."""
COMMAND = 300
"""Characters of a command that is shown whole, or not at all."""


def call_advice(kind: str, event_type: str, undo: str | None, asked: Any, request: Any, asked_at: str = "") -> str:
    """`asked` is the data that the gateway was asked with, and `request` that which is right, as JSON has them; None: unknown.

    `asked_at` is where a person has published the same request, by itself.

    Empty for a call that should not have been made: `undo` says what takes it back.
    """
    if kind == WOULD_CALL:
        there = f"the same was published as {asked_at}: if that was for it, close it; else" if asked_at else "nobody has asked it:"
        return f"{there} {_command(event_type, request)} if it is to be asked"
    if kind != OTHERWISE:
        return ""
    back = "take that back" if undo is None else f"take that back with {undo}"
    return (
        f"it was asked with {_text(asked)} and is right with {_text(request)}: {back}, then publish {event_type} with what is right"
    )


def advice_behind(done: str, kind: str, event_type: str, request: Any) -> str:
    """The same of a call about which something was `done` before, in words: nobody knows here what is left of it."""
    if kind in (WOULD_CALL, OTHERWISE):
        return f"{done}, and it is right with {_text(request)}: see whether {event_type} is to be published with that"
    return f"{done}, and it should not have been made: see whether anything is to be taken back"


def advice_right_again(done: str, *, asked: bool) -> str:
    """The same of one that is as it was `asked`, or was not asked, before any correction."""
    if asked:
        return f"{done}, and is right again as it was asked: it is to be made once more, unless that was done"
    return f"{done}, and it is not to be made any more: see whether anything is to be taken back"
def _command(event_type: str, data: Any) -> str:
    """The command that publishes it, ready for a shell; what is too long for a line is left to a person."""
    if not isinstance(data, dict):
        return f"publish {event_type} with its data"
    values = {name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in data.items()}
    fields = [shlex.quote(f"{name}={value}") for name, value in values.items() if data[name] is not None]
    command = " ".join(["retold publish", event_type, *fields])
    return command if len(command) <= COMMAND else f"publish {event_type} with {_text(data)}"


def _text(data: Any) -> str:
    return "its data" if data is None else shortened(msgspec.json.encode(data).decode(), LONGEST)
