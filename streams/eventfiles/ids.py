"""The ids of a file's rows: derived from a row's content and its number among equal rows, or the row's own."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from streams.engine.identity import content_digest, content_id
from streams.errors import InvalidEvent
from streams.event import id_of_digest


class _First(NamedTuple):
    line: int
    digest: bytes


class RowIds:
    """The ids of one pass over one file. A row with new content takes about 90 bytes, one with an id of its own 240."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._own: dict[bytes, _First] = {}

    def derive(self, event_type: str, value: bytes, time: int | None) -> tuple[str, int]:
        """The id, and the number of this row among equal ones, from 1. `value`: canonical bytes; `time`: µs since 1970."""
        digest = content_digest(event_type, value, time)
        occurrence = self._counts[digest] = self._counts.get(digest, 0) + 1
        return (id_of_digest(digest) if occurrence == 1 else content_id(event_type, value, time, occurrence)), occurrence

    def is_repeat(self, own: str, line: int, event_type: str, value: bytes, time: int | None) -> bool:
        """Whether an earlier row has this id and content. Raises InvalidEvent if its content was different."""
        digest = content_digest(event_type, value, time)
        first = self._own.setdefault(blake2b(own.encode(), digest_size=16).digest(), _First(line, digest))
        if first.digest != digest:
            raise InvalidEvent(
                f"the id {own!r:.100} is that of line {first.line}, whose data or time are not the same: one id names one event"
            )
        return first.line != line
