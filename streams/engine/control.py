"""Operator commands: records in the inbox, handled by the partition's owner in order, like events (rule 12).

The record's key is the entity's key; its value is the byte 0x01, then JSON. It names the operator.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from streams.engine.readable import shortened
from streams.errors import UNREADABLE_JSON, InvalidEvent
from streams.namespace import FIRST, LAST

PREFIX = b"\x01"


class OperatorCommand(msgspec.Struct, frozen=True):
    """`offset` and `timer` are the position of the first event of the key's queue.

    So a command that is sent twice does nothing the second time.

    `retry` handles the queue again; `reject` rejects its first event; `answer` gives `value`, an event in the wire format,
    as the answer to an unanswered request that is first in the queue.

    `quarantine` is about no key but about the record at `offset`, which blocks its partition. The command lies behind that
    record in the same partition, so the owner searches ahead for it (rule 11). When it is read in order, it does nothing.
    """

    command: Literal["retry", "reject", "answer", "quarantine"]
    key: str
    offset: int
    who: str
    why: str = ""
    value: bytes = b""
    timer: int = 0


class ClockCommand(msgspec.Struct, frozen=True):
    """The clock that the import `name` brings: no event before `at` (µs since 1970) will come from it. None: it is over.

    It has no key: each partition of the application gets one.
    """

    command: Literal["clock"]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    at: Annotated[int, msgspec.Meta(ge=-62_135_596_800_000_000, le=253_402_300_800_000_000)] | None
    who: Annotated[str, msgspec.Meta(max_length=200)] = ""


class DropCommand(msgspec.Struct, frozen=True):
    """Nobody goes on with the rows of `generation` any more, so they may be deleted.

    A worker that keeps them does nothing. It has no key: each partition of a namespace gets one.
    """

    command: Literal["drop"]
    generation: Annotated[int, msgspec.Meta(ge=FIRST, le=LAST)]
    who: Annotated[str, msgspec.Meta(max_length=200)] = ""


_decoder = msgspec.json.Decoder(OperatorCommand)
_clock_decoder = msgspec.json.Decoder(ClockCommand)
_drop_decoder = msgspec.json.Decoder(DropCommand)


def clock_command(value: bytes | None) -> ClockCommand | None:
    """The import's clock that a record holds; None for every other record, readable or not."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        return _clock_decoder.decode(value[1:])
    except UNREADABLE_JSON:
        return None


def drop_command(value: bytes | None) -> DropCommand | None:
    """As `clock_command`, for a generation of rows that is dropped."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        return _drop_decoder.decode(value[1:])
    except UNREADABLE_JSON:
        return None


def encode(control: OperatorCommand | ClockCommand | DropCommand) -> bytes:
    return PREFIX + msgspec.json.encode(control)


def read(record_key: bytes | None, value: bytes) -> OperatorCommand:
    """Raises InvalidEvent for a record that is no operator command of its key."""
    try:
        control = _decoder.decode(value[1:])
    except UNREADABLE_JSON as error:
        raise InvalidEvent(f"it is an operator command that cannot be read: {error}") from error
    if record_key != control.key.encode():
        raise InvalidEvent(f"it is an operator command of {shortened(control.key, 100)!r} under another key")
    return control


def quarantine_command(record_key: bytes | None, value: bytes | None) -> OperatorCommand | None:
    """The command to quarantine that a record holds; None for every other record, readable or not."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        control = read(record_key, value)
    except InvalidEvent:
        return None
    return control if control.command == "quarantine" else None
