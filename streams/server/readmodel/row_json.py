"""Rows as the JSON that is served, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streams.data import Record
from streams.engine.records import Codec


def to_json(value: Any) -> bytes:
    """Times as ISO 8601, bytes as base64, records and mappings as objects."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


class RowDecoder:
    """Makes a row of what is kept of it."""

    def __init__(self, row_type: type[Record], codec: Codec) -> None:
        self.row_type, self._codec = row_type, codec
        self._decoder = msgspec.json.Decoder(row_type)

    def row(self, body: bytes, raw: bytes | None) -> Record:
        """As a handler returned it. `raw` is its Avro, where that says more than JSON."""
        return self._codec.freeze(self.compared(body, raw)) if raw is None else self.compared(body, raw)

    def compared(self, body: bytes, raw: bytes | None) -> Record:
        """Its values, for conditions: no handler gets it, so it need not be frozen, which takes longer than decoding."""
        return self._decoder.decode(body) if raw is None else self._codec.decode_row(self.row_type, raw)
