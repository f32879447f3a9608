"""Headers of a record as a file keeps them: one MessagePack array, of which the first item says the names.

Names that are common are one byte each, so an event's headers take a quarter less space; and one that is wanted is found by its
place, without making the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from streams.engine.records import Headers

NAMES = (
    "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "content-type", "ce_causationid",
    "ce_causationsource", "ce_causetime", "ce_correlationid", "ce_hops", "ce_ordinal", "ce_revision", "ce_expectedversion",
    "ce_dataschema", "traceparent", "retold", "retold_parked", "retold_due",
)  # fmt: skip
"""A name's number is its byte. To be added to at the end; anything else needs another number of the file's format."""
OTHERS = 0xFF
"""The first byte of names that are not all of these: MessagePack of them follows."""
LISTS = 1_024
"""Lists of names that are remembered."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_encode_into = msgspec.msgpack.Encoder().encode_into
_decode: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[bytes | None]).decode  # a header's value may be null
_layouts: dict[tuple[str, ...], bytes] = {}
_names: dict[bytes, tuple[str, ...]] = {}


def packed(headers: Headers) -> bytearray:
    names = tuple([name for name, _ in headers])
    layout = _layouts.get(names)
    if layout is None:
        _forget_many(_layouts)
        layout = _layouts[names] = layout_of(names)
    return packed_texts(layout, [text for _, text in headers])


def packed_texts(layout: bytes, texts: Sequence[bytes]) -> bytearray:
    """The same, of the values of headers whose names are known to have this layout.

    Python's sqlite3 binds a bytearray in a third of the time that bytes take.
    """
    kept = bytearray()
    _encode_into([layout, *texts], kept)
    return kept


def unpacked(kept: bytes) -> Headers:
    layout, *texts = _decode(kept)
    return list(zip(_names_of(layout), texts, strict=True))


def picker(*names: str) -> Callable[[bytes], Sequence[bytes | None]]:
    """A function that picks these headers out of what is kept; None where there is none. Of a name's several, the last."""
    plans: dict[bytes, Callable[[list[Any]], Sequence[bytes | None]]] = {}

    def pick(kept: bytes) -> Sequence[bytes | None]:
        found: list[Any] = _decode(kept)
        layout = found[0]
        plan = plans.get(layout)
        if plan is None:
            _forget_many(plans)
            there = {name: number for number, name in enumerate(_names_of(layout), 1)}
            plan = plans[layout] = itemgetter(*(there.get(name, -1) for name in names))
        found.append(None)
        return plan(found)

    return pick


def layout_of(names: tuple[str, ...]) -> bytes:
    """What stands for these names, in this order."""
    if all(name in _NUMBERS for name in names):
        return bytes(_NUMBERS[name] for name in names)
    return bytes([OTHERS]) + msgspec.msgpack.encode(names)


def _names_of(layout: bytes) -> tuple[str, ...]:
    names = _names.get(layout)
    if names is None:
        _forget_many(_names)
        listed = layout[:1] == bytes([OTHERS])
        names = msgspec.msgpack.decode(layout[1:], type=tuple[str, ...]) if listed else tuple(NAMES[it] for it in layout)
        _names[layout] = names
    return names


def _forget_many(cache: dict[Any, Any]) -> None:
    if len(cache) >= LISTS:
        cache.clear()
