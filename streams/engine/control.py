"""Control records: what an operator says of a parked key, met by its owner in order, like an event (rule 12).

A control record lies in the inbox under the entity's key: the byte 0x01, then JSON. It names who gave it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streams.errors import InvalidEvent

PREFIX = b"\x01"


class OperatorCommand(msgspec.Struct, frozen=True):
    """`offset` names the first of the key's queue, so that a command said twice does nothing the second time.

    `retry` handles the queue again; `reject` takes its first event as rejected; `answer` gives `value`, an event in the
    wire format, as the answer of an unanswered request that is first in the queue.

    `quarantine` is about no key but about the record at `offset`, at which its partition waits. It lies behind that record
    in the same partition, so the owner looks ahead for it (rule 11); when it is met in order, all is done.
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
    """Raises InvalidEvent for a record that is no control record of its key."""
    try:
        control = _decoder.decode(value[1:])
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"it is a control record that does not read: {error}") from error
    if record_key != control.key.encode():
        raise InvalidEvent(f"it is a control record of {control.key[:100]!r} under another key")
    return control


def quarantine_command(record_key: bytes | None, value: bytes | None) -> OperatorCommand | None:
    """None for every other record, readable or not."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        control = read(record_key, value)
    except InvalidEvent:
        return None
    return control if control.command == "quarantine" else None
