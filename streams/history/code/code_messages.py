"""What is said between two processes that have two versions of one code: a message is its length in 4 bytes and MessagePack.

The parent sends records by the thousand and asks for emissions; the child answers with the rows that its handlers make of them.
It is told nothing else, and writes nothing else.
"""

from __future__ import annotations

from typing import IO

import msgspec

from streams.history.recorded_event import LogPlace
from streams.history.stored.stored_events import StoredRow

PIECE = 1_000
"""Records of one message."""
PROTOCOL = 6
"""Of these messages: the other code may run with another version of retold."""
LARGEST = 1 << 30
"""Bytes of a message."""


class Fold(msgspec.Struct, frozen=True, tag="fold"):
    """Rows of a file's records, as `COLUMNS` names their values; `schemas` are those that were not sent before."""

    records: list[StoredRow]
    schemas: list[str] = []


class EmissionsQuestion(msgspec.Struct, frozen=True, tag="emissions"):
    """A question for what the event at a place of a log has emitted."""

    place: LogPlace


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The child's first message: which application it has loaded, and the schemas that its rows are written with."""

    application: str
    schemas: list[str]
    protocol: int = 1


Emitted = tuple[str, bytes, int]
"""Reference, value and time (µs)."""


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """For each record its row's bytes, empty for none, None if it stays as it was; and how many events it emitted.

    And by its number: whether a gateway is to answer it, so that its row keeps its version; the timers that it scheduled, if any;
    or why it is refused: this code does not accept it, or not one before it of the same row, though it was accepted.
    """

    rows: list[bytes | None]
    counts: list[int]
    requests: list[int] = []
    timers: dict[int, list[Emitted]] = {}
    refused: dict[int, str] = {}


class EmissionsAnswer(msgspec.Struct, frozen=True, tag="emitted"):
    """All that an event has emitted."""

    emissions: list[Emitted]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why this code cannot tell this past."""

    why: str


read_request = msgspec.msgpack.Decoder(Fold | EmissionsQuestion).decode
read_answer = msgspec.msgpack.Decoder(Hello | Rows | EmissionsAnswer | Failed).decode


def write_message(pipe: IO[bytes], message: object) -> None:
    """Raises OSError."""
    content = msgspec.msgpack.encode(message)
    pipe.write(len(content).to_bytes(4, "big") + content)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes | None:
    """None at its end. Raises OSError or EOFError for a message that is cut off."""
    size = pipe.read(4)
    if not size:
        return None
    wanted = int.from_bytes(size, "big")
    content = pipe.read(wanted) if wanted <= LARGEST else b""
    if len(size) != 4 or len(content) != wanted:
        raise EOFError
    return content
