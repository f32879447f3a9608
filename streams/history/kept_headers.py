"""Headers of a record as a file keeps them."""

from __future__ import annotations

import msgspec

from streams.engine.records import Headers

_encode_into = msgspec.msgpack.Encoder().encode_into
_decoder = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


def packed(headers: Headers) -> bytearray:
    """Python's sqlite3 binds a bytearray in a third of the time that bytes take."""
    kept = bytearray()
    _encode_into(headers, kept)
    return kept


def unpacked(kept: bytes) -> Headers:
    return _decoder.decode(kept)
