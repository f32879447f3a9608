"""Records of a topic as a restore reads them, without a broker."""

from __future__ import annotations

from streams.engine.records import Headers


class Kept:
    """What a consumer's message has to say."""

    def __init__(self, key: bytes, value: bytes, headers: Headers) -> None:
        self._key, self._value, self._headers = key, value, headers

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Headers:
        return self._headers
