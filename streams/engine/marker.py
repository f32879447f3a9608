"""The marker: the first record of each transaction in each table partition; a restore takes its position from it (rule 2).

Its key begins with a byte that no entity key may begin with.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from streams.engine.changes import ImportClock
from streams.engine.records import Counters, DuplicateRecord
from streams.errors import UNREADABLE_JSON, UndecodableRecord
from streams.namespace import FIRST

KEY = b"\x00marker"


class Marker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`first` and `last` are the log sequences of the transaction (last = first - 1 if it logged nothing).

    `generation` is that of the rows that its writer keeps; `complete` says of others up to which sequence theirs have everything,
    and `corrections` the number of the last correction that they have. Nobody goes on with those that were `dropped`. `code` is a
    digest of its writer's code, which has kept these rows since sequence `code_since`; empty: an earlier version wrote it.

    `inbox_next` is the inbox offset where handling continues; `recorded` in µs; `duplicates` are this transaction's. `calls`
    and `timers` are how many are pending afterwards; `imports` has the clocks of imports that are not over. `producers_replaced`
    counts since its writer started (rule 31).
    """

    first: int
    last: int
    inbox_next: int
    recorded: int
    application: str
    topic_ids: dict[str, str]
    partitions: int
    generation: int = FIRST
    transactional_id: str
    counters: Counters
    duplicates: list[DuplicateRecord] = []
    calls: int = 0
    timers: int = 0
    producers_replaced: int = 0
    imports: dict[str, ImportClock] = {}
    complete: dict[int, int] = {}
    dropped: list[int] = []
    corrections: dict[int, int] = {}
    code: str = ""
    code_since: int = 0


def producers_replaced(markers: Iterable[Marker]) -> dict[str, int]:
    """The count of each transactional id, from its last marker."""
    last: dict[str, Marker] = {}
    for marker in markers:
        known = last.get(marker.transactional_id)
        if known is None or known.recorded <= marker.recorded:
            last[marker.transactional_id] = marker
    return {name: marker.producers_replaced for name, marker in last.items()}


_decoder = msgspec.json.Decoder(Marker)


def encode(marker: Marker) -> bytes:
    return msgspec.json.encode(marker)


def decode(value: bytes) -> Marker:
    """Raises UndecodableRecord."""
    try:
        found = _decoder.decode(value)
    except UNREADABLE_JSON as error:
        raise UndecodableRecord(
            f"a table's marker does not read ({error}): another program wrote {value[:80]!r}"
        ) from error
    return found if found.generation else replace(found, generation=FIRST)  # earlier versions wrote 0
