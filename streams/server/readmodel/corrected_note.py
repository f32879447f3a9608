"""What a file notes of corrections, for each of its projections. All raise sqlite3.Error."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from streams.server.readmodel.store_meta import meta_value, set_meta

Notes = Mapping[str, str]
"""A text by projection."""
NOT_LOOKED_AT = "what corrections make of it is being looked at"
NOT_KNOWN = "it was folded again while it was not known what corrections make of the past"
_decode = msgspec.json.Decoder(dict[str, str]).decode
_decode_types = msgspec.json.Decoder(list[str]).decode


def folded_as(db: sqlite3.Connection) -> Notes:
    """The digests of what projections were folded with otherwise than the logs have it; not of those that go by the logs."""
    return _notes(db, "folded_otherwise")


def uncorrected(db: sqlite3.Connection) -> Notes:
    """The projections that are not known to be as corrections of the past make them, and why."""
    return _notes(db, "uncorrected")


def note_uncorrected(db: sqlite3.Connection, found: Notes) -> bool:
    """Returns whether that was not noted yet."""
    is_new = found != uncorrected(db)
    if is_new:
        set_meta(db, uncorrected=msgspec.json.encode(found))
    return is_new


def note_folded(db: sqlite3.Connection, digests: Notes) -> None:
    """Within a transaction: projections were folded again. Whether that is what counts is looked at afterwards."""
    before = folded_as(db)
    changed = {name for name, digest in digests.items() if digest != before.get(name, "")}
    now = {name: digest for name, digest in {**before, **digests}.items() if digest}
    set_meta(db, folded_otherwise=msgspec.json.encode(now))
    if changed:
        note_uncorrected(db, {**dict.fromkeys(changed, NOT_LOOKED_AT), **uncorrected(db)})


def settled(db: sqlite3.Connection) -> bytes | None:
    """Of the corrections by which all projections were found to be right, once these were applied to their end.

    One that is folded again since is right if that was done as they have it.
    """
    found: bytes | None = meta_value(db, "corrections_settled")
    return found


def settled_types(db: sqlite3.Connection) -> Collection[str]:
    """The types of events that these corrections have made otherwise than the logs have them."""
    found = meta_value(db, "settled_types")
    return () if found is None else _decode_types(found)


def note_settled(db: sqlite3.Connection, corrections: bytes, types: Collection[str]) -> None:
    if settled(db) != corrections or {*settled_types(db)} != {*types}:
        set_meta(db, corrections_settled=corrections, settled_types=msgspec.json.encode(sorted(types)))


def _notes(db: sqlite3.Connection, name: str) -> Notes:
    found = meta_value(db, name)
    return {} if found is None else _decode(found)
