"""Headers of a record as a file keeps them."""

from __future__ import annotations

import msgspec

from streams.engine.records import Headers

_decoder = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


def packed(headers: Headers) -> bytes:
    return msgspec.msgpack.encode(headers)


def unpacked(kept: bytes) -> Headers:
    return _decoder.decode(kept)
