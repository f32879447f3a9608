"""Generations of rows: one table topic has them all, under keys of their own, and its marker says which is current (rule 30).

Of each there are rows that workers wrote and rows that were built beside them: which of a key's counts, `counts` says.
Whether they can be gone over to, or told, `RowsThere` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streams.engine.marker import Marker
from streams.errors import UNREADABLE_JSON, UndecodableRecord
from streams.namespace import FIRST

BUILT_TO = b"\x00built-"
"""With the generation behind it, the key of the record that says how far rows are built. No entity key begins with such a byte."""
LATER = b"\x01"
"""What begins the keys of rows of other generations, and of those that are built. An entity's key does not."""
ENTITY = b"\x02"
"""What the keys of rows of the first generation are at least, and no others."""
_WRITTEN, _BUILT = b":", b"+"
CATCH_UP_LIMIT = 50_000
"""The most events that a worker folds when it goes over to rows which lack them: that takes some seconds, and what changes fits
into its first transaction. Rows that lack more are not built far enough."""


class RowKey(NamedTuple):
    """What the key of a table's row says: whose row, of which generation. `built`: no worker wrote it."""

    entity: str
    generation: int = FIRST
    built: bool = False


class BuiltTo(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of `generation` are built from all of the log up to `sequence`; its next record is at `offset` or later.

    `code` is a digest of the code that built them; `corrections` is the number of the last correction that they have. `whole`:
    its builder has reached the end of the log once; else it is on its way, or was stopped.
    """

    generation: int
    sequence: int
    offset: int
    code: str
    corrections: int = 0
    whole: bool = True


_decoder = msgspec.json.Decoder(BuiltTo)


class RowsThere(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the records of a table's partition say of the rows of one generation, `of`.

    `keep` is the generation that workers keep now; 0 before anything was handled. If it is another one, they have `handled` events
    up to that sequence with it. `left`: workers kept these rows before, and have gone over to others.

    `built` is the sequence up to which these rows were built beside; None: never. `part`: their builder has not reached the end of
    the log yet. `dropped`: nobody goes on with them any more. `unseen`: the first records were read by a version that kept nothing
    of this, so these rows may be built all the same.
    """

    of: int
    keep: int = 0
    handled: int = 0
    left: bool = False
    built: int | None = None
    part: bool = False
    dropped: bool = False
    unseen: bool = False

    def behind(self, record: Marker | BuiltTo) -> RowsThere:
        """The same behind one more record."""
        if isinstance(record, BuiltTo):
            if record.generation != self.of:
                return self
            return replace(self, built=record.sequence, part=not record.whole, unseen=False)
        if record.generation == self.of:  # as nearly all
            return self if self.keep == self.of else RowsThere(of=self.of, keep=self.of)
        left, dropped = self.of in record.complete, self.of in record.dropped
        return replace(self, keep=record.generation, handled=record.last, left=left, dropped=dropped)

    @property
    def lack(self) -> str:
        """What is wrong with these rows, in words; empty if they may be told.

        Those that workers have kept are told however old they are: servers are deployed after workers.
        """
        if self.keep in (0, self.of) or not self.handled:
            return ""
        if self.dropped:
            return "were dropped for good"
        if self.left or self.unseen:
            return ""
        if self.built is None:
            return "are not built"
        is_near = not self.part and self.handled - self.built <= CATCH_UP_LIMIT
        return "" if is_near else f"are built up to event {self.built:,} of {self.handled:,}"


def rows_to(last: Marker, built: BuiltTo | None, generation: int) -> int:
    """The sequence up to which rows of a generation have everything, as workers kept them or as they were built."""
    if last.generation == generation:
        return last.last
    return complete_to(last.complete, built, generation)


def complete_to(complete: Mapping[int, int], built: BuiltTo | None, generation: int) -> int:
    """The same of a generation that is not current: as workers have left its rows, which `complete` says, or as they were built."""
    return max(complete.get(generation, 0), 0 if built is None else built.sequence)


def corrected_to(corrections: Mapping[int, int], built: BuiltTo | None, generation: int) -> int:
    """The number of the last correction that rows of a generation which is not current have, as those of `complete_to`."""
    return max(corrections.get(generation, 0), 0 if built is None else built.corrections)


def counts(version: int, known: int, *, built: bool) -> bool:
    """Whether a row that comes behind one of version `known` (0: there is none) counts in its place.

    A worker's does, as the last one of its key. One that was built may come late, and counts if it is not older: it may have been
    built anew, from a past that was corrected since.
    """
    return not built or version >= known


def row_key(entity: str, generation: int) -> bytes:
    """The key of a row that a worker writes."""
    return entity.encode() if generation == FIRST else b"\x01%d%b%b" % (generation, _WRITTEN, entity.encode())


def built_key(entity: str, generation: int) -> bytes:
    """The key of a row that is built beside those of workers."""
    return b"\x01%d%b%b" % (generation, _BUILT, entity.encode())


def row_key_of(key: bytes) -> RowKey:
    """Raises ValueError for a key that is neither."""
    if not key.startswith(LATER):
        return RowKey(key.decode())
    end = 1
    while key[end : end + 1].isdigit():
        end += 1
    if end == 1 or key[end : end + 1] not in (_WRITTEN, _BUILT):
        raise ValueError(f"{key[:80]!r} has no generation")
    return RowKey(key[end + 1 :].decode(), int(key[1:end]), key[end : end + 1] == _BUILT)


def is_of(key: bytes, generation: int) -> bool:
    """Whether the key of a record in a table is that of a row of this generation. Raises ValueError for one of no row."""
    return key[:1] != b"\x00" and row_key_of(key).generation == generation


def built_to_key(generation: int) -> bytes:
    return b"%b%d" % (BUILT_TO, generation)


def encode_built_to(built: BuiltTo) -> bytes:
    return msgspec.json.encode(built)


def decode_built_to(value: bytes) -> BuiltTo:
    """Raises UndecodableRecord."""
    try:
        return _decoder.decode(value)
    except UNREADABLE_JSON as error:
        raise UndecodableRecord(f"how far rows are built does not read ({error}): another program wrote {value[:80]!r}") from error


def rows_there(kept: bytes | None, generation: int) -> RowsThere:
    """What was kept of them as JSON; as before the first record if nothing was kept, or it is of another generation."""
    found = RowsThere(of=generation) if kept is None else msgspec.json.decode(kept, type=RowsThere)
    return found if found.of == generation else RowsThere(of=generation)
