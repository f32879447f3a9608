"""Operator commands: records in the inbox, handled by the partition's owner in order, like events (rule 12).

The record's key is the entity's key; its value is the byte 0x01, then JSON. It names the operator.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streams.errors import InvalidEvent

PREFIX = b"\x01"


class OperatorCommand(msgspec.Struct, frozen=True):
    """`offset` is that of the first event of the key's queue, so a command that is sent twice does nothing the second time.

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


_decoder = msgspec.json.Decoder(OperatorCommand)


def encode(control: OperatorCommand) -> bytes:
    return PREFIX + msgspec.json.encode(control)


def read(record_key: bytes | None, value: bytes) -> OperatorCommand:
    """Raises InvalidEvent for a record that is no operator command of its key."""
    try:
        control = _decoder.decode(value[1:])
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"it is an operator command that cannot be read: {error}") from error
    if record_key != control.key.encode():
        raise InvalidEvent(f"it is an operator command of {control.key[:100]!r} under another key")
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
