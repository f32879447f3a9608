"""The ids of a file's rows: derived from what a row says and how often the file said it, or the row's own."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from streams.engine.identity import content_id
from streams.errors import InvalidEvent


class RowIdentity(NamedTuple):
    """What a row says: the event's type, its canonical bytes, and its time in µs since 1970, None if it gives none."""

    event_type: str
    value: bytes
    time: int | None

    @property
    def digest(self) -> bytes:
        """16 bytes that are equal exactly where all three are: a type holds no blank."""
        return blake2b(f"{self.event_type} {self.time} ".encode() + self.value, digest_size=16).digest()


class _First(NamedTuple):
    line: int
    digest: bytes


class RowIds:
    """Of one pass over one file. Each row that says something new takes about 90 bytes, one with an id of its own 240."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._own: dict[bytes, _First] = {}

    def derive(self, said: RowIdentity) -> tuple[str, int]:
        """The id, and which of the rows that say the same this is, from 1."""
        digest = said.digest
        occurrence = self._counts[digest] = self._counts.get(digest, 0) + 1
        return content_id(*said, occurrence), occurrence

    def is_repeat(self, own: str, line: int, said: RowIdentity) -> bool:
        """Whether a row before gave this id and said the same. Raises InvalidEvent if it said something else."""
        digest = said.digest
        first = self._own.setdefault(blake2b(own.encode(), digest_size=16).digest(), _First(line, digest))
        if first.digest != digest:
            raise InvalidEvent(
                f"the id {own!r:.100} is that of line {first.line}, whose data or time are not the same: one id names one event"
            )
        return first.line != line
